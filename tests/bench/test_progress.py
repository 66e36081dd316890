from io import StringIO

from bench.progress import Lines


def test_lines_say_what_runs_and_how_much_is_over() -> None:
    out = StringIO()
    lines = Lines(out)
    lines.begin(90.0)
    lines.now("frames 1/3 nginx")
    lines.done(45.0)
    lines.now("frames 1/3 envoy")
    lines.end()
    assert out.getvalue().splitlines() == [
        "about 1:30",
        "  0%  frames 1/3 nginx",
        " 50%  frames 1/3 envoy",
        "done in 0:00",
    ]
