"""What makes the site out of this repository: `mkdocs build --strict` and `mkdocs serve` call it.

README.md, CHANGELOG.md and CONTRIBUTING.md become pages, each room of jaxdiff/ a page of the reference, and the records
of benchmarks/results a table. Links that lead out of docs/ work in the repository and in the site: what they name is
copied beside the pages. A file that is moved or gone ends the build, as any broken link does.
"""

import html
import json
import posixpath
import re
from pathlib import Path

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "jaxdiff/released/openmoji/README.md": "openmoji.md",
    "jaxdiff/released/scenes/README.md": "scenes.md",
}
"""Pages that stand outside of docs/, by their place in the site."""
RECORDS = "benchmarks/results"
LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")
CELL = re.compile(r"`([^`\n]*\\\|[^`\n]*)`")


def rooms() -> list[str]:
    """The rooms of jaxdiff/, by name: its folders and files."""
    found = (path for path in (ROOT / "jaxdiff").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists())
    return sorted(path.stem for path in found if not path.stem.startswith("_"))


def room_page(room: str) -> str:
    """The reference of a room: what it is, and each of its modules with what it offers."""
    folder = ROOT / "jaxdiff" / room
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else []
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files if file.stem != "__main__"]
    lines = [f"# {room}", "", f"::: jaxdiff.{room}"]
    if files:
        lines += ["    options:", "      members: false", "      show_root_heading: false"]
    else:
        lines += ["    options:", "      show_root_heading: false"]
    for name in names:
        if name.endswith(".__init__"):
            continue
        lines += ["", f"::: {name}"]
    return "\n".join(lines) + "\n"


def records_page() -> str:
    """A table of all records: what was run, where, and with what."""
    rows = ["# Records", "", "Each figure of these pages comes from one of these files of `benchmarks/results`.", ""]
    rows += ["| file | command | machine, Python, jax |", "|---|---|---|"]
    for file in sorted((ROOT / RECORDS).glob("*.json")):
        record = json.loads(file.read_text())
        where = record.get("machine", "")
        if isinstance(where, dict):
            where = ", ".join(str(value) for value in where.values())
        versions = [record.get("python", ""), (record.get("versions") or {}).get("jax", "")]
        where = ", ".join(str(part) for part in [where, *versions] if part)
        command = f"`{record['command']}`" if record.get("command") else ""
        rows.append(f"| [{file.stem}](../../{RECORDS}/{file.name}) | {command} | {where} |")
    return "\n".join(rows) + "\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the reference's part of the navigation."""
    for entry in config.nav or []:
        if isinstance(entry, dict) and "Reference" in entry:
            entry["Reference"] = [{room: f"reference/{room}.md"} for room in rooms()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of docs/, and what pages link to outside of it."""
    for name, place in OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    for room in rooms():
        files.append(File.generated(config, f"reference/{room}.md", content=room_page(room)))
    files.append(File.generated(config, f"{RECORDS}/index.md", content=records_page()))
    named = {f"{RECORDS}/{file.name}" for file in (ROOT / RECORDS).glob("*.json")}
    for page in files.documentation_pages():
        for _, link, _ in LINK.findall(page.content_string):
            target = _target(page.src_uri, link)
            if target and not target.startswith("docs/") and target not in OUTSIDE and (ROOT / target).is_file():
                named.add(target)
    for target in sorted(named):
        files.append(File.generated(config, target, abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the repository into links of the site."""
    start = posixpath.dirname(page.file.src_uri)

    def turn(match: re.Match) -> str:
        target = _target(page.file.src_uri, match[2])
        if target is None:
            return match[0]
        room = re.fullmatch(r"jaxdiff/(\w+)(\.py)?", target)
        inside = {**OUTSIDE, RECORDS: f"{RECORDS}/index.md"} | ({target: f"reference/{room[1]}.md"} if room else {})
        place = inside.get(target, target.removeprefix("docs/"))
        return match[1] + posixpath.relpath(place, start or ".") + match[3]

    if page.is_homepage:
        page.meta["hide"] = ["navigation"]
    return CELL.sub(_bars, LINK.sub(turn, markdown))


def _bars(match: re.Match) -> str:
    """Code of a table with its bars, which Python-Markdown leaves with their backslashes."""
    return f"<code>{html.escape(match[1]).replace(chr(92) + '|', '&#124;')}</code>"


def _target(page: str, link: str) -> str | None:
    """What a link of a page of the site names, from the repository's root; None for what is not in it."""
    if link.startswith(("/", "<")):
        return None
    source = next((name for name, place in OUTSIDE.items() if place == page), f"docs/{page}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


class House(griffe.Extension):
    """Reads docstrings as this house writes them: `>>>` is code, and `a, b: ...` among arguments are two of them."""

    def on_instance(self, *, obj: griffe.Object, **given) -> None:
        """Rewrite one docstring in the style that is rendered."""
        if obj.docstring:
            text = re.sub(r"(?m)(^>>> (?:.+\n?)+)", lambda m: f"```pycon\n{m[1].rstrip()}\n```\n", obj.docstring.value)
            obj.docstring.value = re.sub(r"(?m)^(Args:\n)((?:  .*\n?|\n)+)", lambda m: m[1] + _apart(m[2]), text)


def _apart(arguments: str) -> str:
    """The same arguments, each described by itself."""
    several = r"(?m)^(  )(\*{0,2}\w+(?:, \*{0,2}\w+)+)(:.*(?:\n   +.*)*)"
    return re.sub(several, lambda m: "\n".join(m[1] + name + m[3] for name in m[2].split(", ")), arguments)
