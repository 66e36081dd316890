"""The `authorize` of any route."""

from __future__ import annotations

from hypothesis import strategies as st

from splicer.authorization import Authorize
from splicer.model import Upstream


def authorizers(fixed: list[Upstream], fallback: bool) -> st.SearchStrategy[Authorize[Upstream]]:
    captures = st.dictionaries(st.sampled_from(["a", "b_1", "é"]), st.sampled_from(["X-A", "x-b"]), max_size=2)
    fields = st.lists(st.sampled_from(["X-A", "cookie", "$$|`"]), unique=True, max_size=2).map(tuple)
    return st.builds(
        Authorize,
        st.sampled_from(fixed),
        st.sampled_from(["/", "/a{b}?c=${D}", "/%20"]),
        captures.map(lambda table: tuple(table.items())),
        fields,
        st.none() | fields,
        st.sampled_from(["refuse", "fallback"] if fallback else ["refuse"]),
    ) | st.builds(Authorize, st.sampled_from(fixed), st.just("/"), on_failure=st.just("allow"))
