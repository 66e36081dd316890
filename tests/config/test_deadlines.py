from __future__ import annotations

import pytest

from splicer.config.load import load
from splicer.errors import ConfigError

ROUTE = '[[routes]]\nname = "a"\npath = "/a"\nupstream = "api"\n[upstreams.api]\naddress = "api.test:80"\n'


def test_a_route_overrides_what_it_names_and_inherits_the_rest() -> None:
    own = ROUTE.replace("[upstreams", 'deadlines = { idle = "2h", lifetime = "never" }\n[upstreams')
    (route,) = load('[deadlines]\nhead = "1s"\nidle = "3h"\nconnect = "4s"\n' + own, environ={}).routes
    deadlines = route.deadlines
    assert (deadlines.head, deadlines.idle, deadlines.connect, deadlines.resolve) == (1.0, 7200.0, 4.0, 2.0)


@pytest.mark.parametrize("value", ['"1s"', '"never"', "true", '"nonsense"'])
@pytest.mark.parametrize(("key", "why"), [("head", "runs before a route is known"), ("drain", "is the whole edge's")])
def test_what_is_not_a_route_s(key: str, why: str, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(ROUTE.replace("[upstreams", f"deadlines = {{ {key} = {value} }}\n[upstreams"), environ={})
    assert refused.value.faults == (f'routing.toml: routes 1 "a": deadlines.{key}: {why}; write it under [deadlines]',)
