"""What the screen shows, and what a key does to it: no I/O, no clock."""

from __future__ import annotations

from attrs import define, field, frozen

from splicer.ops.answer import JsonObject
from splicer.ops.drain import Scope
from splicer.ops.top.lists import SORTS, View, key_of, listed, objects, pod_of

_MOST_TYPED = 100  # characters of a filter
_VIEWS: dict[str, View] = {"c": "calls", "p": "pods", "w": "workers"}


@frozen
class Quit:
    """The operator has seen enough."""


@frozen
class Resort:
    """The calls are wanted in another order."""


@frozen
class Close:
    """A call is to be ended.

    Args:
        id: the call's.
    """

    id: str


@frozen
class Drain:
    """New calls are to go elsewhere, or to come again.

    Args:
        scope: of what.
        undo: whether they are to come again.
    """

    scope: Scope
    undo: bool


Intent = Quit | Resort | Close | Drain


# What is asked is what was selected when the key came: a list that moves meanwhile must not change it.
@frozen
class Question:
    """What is done at a "y", and at no other key.

    Args:
        text: the question.
        intent: what is done.
    """

    text: str
    intent: Intent


@define
class Screen:
    """The state of the screen.

    Args:
        state: the last state of the edge.
        calls: the last calls.
        page: how many rows fit, for the keys that go on by a page.
    """

    state: JsonObject = field(factory=dict)
    calls: JsonObject = field(factory=dict)
    page: int = 10
    view: View = "calls"
    sort: str = SORTS[0]
    filter: str = ""
    typing: bool = False
    question: Question | None = None
    message: str = ""
    _selected: dict[View, str] = field(factory=dict)
    _place: dict[View, int] = field(factory=dict)
    _rows: list[JsonObject] = field(factory=list)

    @property
    def rows(self) -> list[JsonObject]:
        """The rows of the view, as of the last `update`."""
        return self._rows

    @property
    def place(self) -> int:
        """The selected row's index; 0 if there is none."""
        return self._place.get(self.view, 0)

    @property
    def selected(self) -> JsonObject | None:
        """The selected row."""
        return self._rows[self.place] if self._rows else None

    def update(self, state: JsonObject | None = None, calls: JsonObject | None = None) -> None:
        """Take what has come, and find the selected row among the new ones.

        Args:
            state: the new state of the edge, if there is one.
            calls: the new calls, if there are any.
        """
        self.state = self.state if state is None else state
        self.calls = self.calls if calls is None else calls
        self._rows = listed(self.view, self.state, self.calls, self.sort, self.filter)
        keys = [key_of(self.view, row) for row in self._rows]
        if (selected := self._selected.get(self.view)) in keys:
            self._place[self.view] = keys.index(selected)
        else:
            self._select(self.place)

    def key(self, key: str) -> Intent | None:
        """What a key does; the result is what is to be done outside.

        Args:
            key: as `KeyReader` names it.
        """
        self.message = ""
        if self.question is not None:
            return self._answer(key)
        if self.typing:
            self._type(key)
            return None
        return self._command(key)

    def _answer(self, key: str) -> Intent | None:
        question, self.question = self.question, None
        if question is not None and key in ("y", "Y"):
            return question.intent
        self.message = "nothing was done"
        return None

    def _type(self, key: str) -> None:
        if key == "enter":
            self.typing = False
        elif key == "escape":
            self.typing, self.filter = False, ""
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif key == "clear":
            self.filter = ""
        elif len(key) == 1:
            self.filter = (self.filter + key)[:_MOST_TYPED]
        self.update()

    def _command(self, key: str) -> Intent | None:
        match key:
            case "q":
                return Quit()
            case "s":
                return self._resort()
            case "/":
                self.typing = True
            case "escape":
                self.filter = ""
                self.update()
            case "k":
                self._ask_close()
            case "d":
                self._ask_drain()
            case "c" | "p" | "w":
                self.view = "calls" if self.view == _VIEWS[key] else _VIEWS[key]
                self.update()
            case _:
                self._move(key)
        return None

    def _resort(self) -> Intent | None:
        if self.view != "calls":
            return None
        self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        self.update()
        return Resort()

    def _move(self, key: str) -> None:
        steps = {"up": -1, "down": 1, "page-up": -self.page, "page-down": self.page}
        if key in steps:
            self._select(self.place + steps[key])
        elif key in ("home", "end"):
            self._select(0 if key == "home" else len(self._rows) - 1)

    def _select(self, place: int) -> None:
        place = max(0, min(place, len(self._rows) - 1))
        self._place[self.view] = place
        if self._rows:
            self._selected[self.view] = key_of(self.view, self._rows[place])

    def _ask_close(self) -> None:
        row = self.selected
        if self.view != "calls" or row is None:
            self.message = "select a call to close it"
            return
        call = key_of("calls", row)
        self.question = Question(f"Close the call {call}? The caller is cut off.", Close(call))

    def _ask_drain(self) -> None:
        row = self.selected
        pod = "" if row is None else pod_of(self.view, row)
        if not pod:
            self.message = "select a call or a pod whose name is known to drain it"
            return
        scope = Scope(pod=pod)
        if scope.find({"drains": objects(self.state, "drains")}) is None:
            self.question = Question(
                f"Drain {scope}? No new call goes there; live ones finish.", Drain(scope, undo=False)
            )
        else:
            self.question = Question(f"Undo the drain of {scope}? New calls go there again.", Drain(scope, undo=True))
