"""One import from files to the text of a routing.toml and its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from attrs import frozen

from splicer.importer.directive import ImportFault
from splicer.importer.draft import Draft
from splicer.importer.finish import finish
from splicer.importer.fold import fold
from splicer.importer.ledger import Entry, Ledger, Verdict

_HEAD = 1 << 16  # characters in which a resource of Kubernetes has said what it is
NOT_INSTALLED = "the importer's parsers are not installed; say: pip install 'splicer[import]'"


@frozen
class Options:
    """What the command line says.

    Args:
        fold: whether routes that differ in a pod's name alone become one.
        environ: nginx: the values for ``${NAME}``.
        domain: nginx: added to names without a dot; Istio: the cluster's domain.
        port: nginx: the port whose servers are meant; None: that with most locations.
        namespace: Istio: of resources that name none.
    """

    fold: bool = True
    environ: Mapping[str, str] = MappingProxyType({})
    domain: str = ""
    port: int | None = None
    namespace: str = "default"


@frozen
class Imported:
    """The result of an import.

    Args:
        text: of the routing.toml.
        entries: the report.
        notices: what holds for the whole source.
    """

    text: str
    entries: tuple[Entry, ...]
    notices: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is lost."""
        return all(entry.verdict is not Verdict.LOST for entry in self.entries)


def run_import(kind: str, files: Sequence[str], options: Options) -> Imported:
    """Import the configuration of another proxy.

    Args:
        kind: "nginx", "envoy" or "istio".
        files: their names.
        options: of the command line.

    Raises:
        ImportFault: a file can't be read; nothing of it is of use then.
    """
    ledger = Ledger()
    try:
        draft = _translators()[kind](files, ledger, options)
    except ModuleNotFoundError as error:
        if error.name not in ("crossplane", "yaml"):
            raise
        raise ImportFault(files[0], None, NOT_INSTALLED) from None
    if options.fold:
        fold(draft, ledger)
    text = finish(draft, ledger)
    return Imported(text, ledger.entries(), tuple(ledger.notices))


def kind_of(path: Path) -> str | None:
    """Whose configuration a file is, by its name and what it says; None: a routing.toml."""
    if path.suffix == ".conf":
        return "nginx"
    if path.suffix not in (".yaml", ".yml", ".json"):
        return None
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return "istio" if "apiVersion" in file.read(_HEAD) else "envoy"
    except OSError as error:
        raise ImportFault(str(path), None, f"can't be read: {error.strerror}") from None


def _translators() -> dict[str, Callable[[Sequence[str], Ledger, Options], Draft]]:
    return {"nginx": _nginx, "envoy": _envoy, "istio": _istio}


def _nginx(files: Sequence[str], ledger: Ledger, options: Options) -> Draft:
    from splicer.importer.nginx.translate import translate

    return translate(files, ledger, options.environ, domain=options.domain, port=options.port)


def _envoy(files: Sequence[str], ledger: Ledger, options: Options) -> Draft:
    from splicer.importer.envoy.translate import translate

    del options
    return translate(files, ledger)


def _istio(files: Sequence[str], ledger: Ledger, options: Options) -> Draft:
    from splicer.importer.istio.translate import translate

    return translate(files, ledger, namespace=options.namespace, domain=options.domain or "cluster.local")
