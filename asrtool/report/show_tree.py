"""A decision tree as a drawing: the GraphViz source that Kaldi's draw-tree prints."""

import re
from collections.abc import Iterator, Mapping

from asrtool.errors import AsrtoolError
from asrtool.io.symbols import SymbolTable
from asrtool.tree.context_dependency import ContextDependency
from asrtool.tree.event_map import PDF_CLASS, ConstantEventMap, EventMap, SplitEventMap

_PLAIN, _ON_PATH = ("black", 1), ("red", 3)


def parse_query(text: str, tree: ContextDependency, phones: SymbolTable) -> dict[int, int]:
    """The event of "pdf-class/phone/.../phone", a phone for each place of the context window.

    Raises:
        AsrtoolError: another form, or a phone that is not in the table.
    """
    pdf_class, *names = text.split("/")
    if not pdf_class.isdecimal() or len(names) != tree.context_width:
        raise AsrtoolError(f"query '{text}': expected a pdf class and {tree.context_width} phones, with / between them")
    return {PDF_CLASS: int(pdf_class)} | {place: phones.id(name) for place, name in enumerate(names)}


def tree_drawing(
    tree: ContextDependency, phones: SymbolTable, query: Mapping[int, int] | None = None, use_tooltips: bool = False
) -> Iterator[str]:
    """Lines of a `digraph`.

    Args:
        query: an event (see `parse_query`), whose path is drawn in red.
        use_tooltips: questions are shown where the mouse is, not written beside the edges.

    Raises:
        AsrtoolError: a phone without a name.
    """
    drawing = _Drawing(tree, phones, use_tooltips)
    yield "digraph EventMap {"
    yield from drawing.node(tree.to_pdf, 0, query)
    yield "}"


class _Drawing:
    def __init__(self, tree: ContextDependency, phones: SymbolTable, use_tooltips: bool) -> None:
        self.tree, self.phones, self.use_tooltips = tree, phones, use_tooltips
        self.last = 0  # nodes are numbered in the order in which they are drawn

    def node(self, node: EventMap, number: int, query: Mapping[int, int] | None) -> Iterator[str]:
        """A node and what is below it; `query` is None off the query's path."""
        color, width = _ON_PATH if query else _PLAIN
        if isinstance(node, ConstantEventMap):
            yield f"{number}[shape=doublecircle, label={node.answer},color={color}, penwidth={width}];"
            return
        yield f'{number}[label="{self._question(node.key)}", color={color}, penwidth={width}];'
        value = query.get(node.key) if query else None
        for label, child, on_path in self._edges(node, value):
            if child is None:
                continue
            self.last += 1
            color, width = _ON_PATH if on_path else _PLAIN
            yield f"\t{number} -> {self.last} [{label}, color={color}, penwidth={width}];"
            yield from self.node(child, self.last, query if on_path else None)

    def _edges(self, node: EventMap, value: int | None) -> list[tuple[str, EventMap | None, bool]]:
        """(label, child, whether the query goes there)."""
        if not isinstance(node, SplitEventMap):
            names = (self._name(node.key, answer) if child else "" for answer, child in enumerate(node.children))
            rows = zip(names, node.children, range(len(node.children)))
            return [(f"label={name}", child, answer == value) for name, child, answer in rows]
        values = ", ".join(self._name(node.key, answer, quoted=False) for answer in node.yes_set)
        yes = f'tooltip="{values}", label=YES' if self.use_tooltips else f'label="{values}"'
        is_yes = value in node.yes_set
        return [(yes, node.yes, is_yes), ("label=NO", node.no, value is not None and not is_yes)]

    def _name(self, key: int, value: int, quoted: bool = True) -> str:
        name = str(value) if key == PDF_CLASS else self.phones.symbol(value)
        return name if not quoted or re.fullmatch(r"\w+", name) else f'"{name}"'

    def _question(self, key: int) -> str:
        width, central = self.tree.context_width, self.tree.central_position
        if key == PDF_CLASS:
            return "PdfClass = ?"
        if (width, central) == (3, 1):
            return ("LContext = ?", "Center = ?", "RContext = ?")[key]
        if width == 1:
            return "Phone = ?"
        return "Center = ?" if key == central else f"Ctx Position {key} = ?"
