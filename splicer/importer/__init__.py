"""`splicer import`: the configuration of nginx, Envoy or Istio as a routing.toml, and what became of each directive.

A source is parsed into directives (`directive`), which a translator turns into tables of a draft (`draft`) and gives
verdicts (`ledger`). What the draft may not say is taken out of it again (`finish`), and the rest is written (`toml`).
"""
