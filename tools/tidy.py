#!/usr/bin/env python3
"""The project's own rules, as far as text can show a breach of them.

Run by `./dev tidy`. Each finding is one line, `file:line: error: what (replacement and reason)`; any error makes the exit status 1.
The ranks of folders are read from the table in docs/architecture.md; everything else that may change is data at the top of this file.
"""

import fnmatch
import re
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

FOLDERS = ["src", "tests", "fuzz", "bench"]  # where C++ stands
COLUMNS_MAX = 140
LINES_NOTE = 400
LINES_MAX = 600
HEAD_MIN, HEAD_MAX = 2, 8

# Where each of these may be written. Tests may use threads to play the outside world.
MAY_THROW = ["src/base/check.h"]
MAY_SHARE = [
    "src/base/*",
    "src/io/mailbox*",
    "src/io/shared*",
    "src/io/worker*",
    "src/app/*",
    "src/testing/*",
    "src/telemetry/log_writer*",
    "src/discovery/kept_file*",
    "src/*_test.cpp",
]
SHARED = re.compile(r"\bstd::((?:timed_|recursive_|shared_)*mutex|atomic\w*|j?thread|condition_variable\w*)\b(?!::)")

BANNED_WORDS = {  # word -> what to write in its place
    "manager": "say what it does with them: Pool, Registry, Table, Router",
    "helper": "put the function beside the type that it serves, or name the thing it makes",
    "util": "name the file after its subject: text, bytes, duration",
    "impl": "give the type its own name: an interface stands where two real implementations do",
    "handler": "Service answers, Policy stands in front; otherwise use the verb",
    "common": "name what the parts have in common",
}
BANNED_WORDS |= {word + "s": reason for word, reason in BANNED_WORDS.items()}


class Finding(NamedTuple):
    path: str
    line: int
    text: str
    severity: str = "error"

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.severity}: {self.text}"


class Folder(NamedTuple):
    rank: int | None  # None: for tests alone
    may_include: set[str]  # beside lower ranks; {"everything"} is what it says


# ---- reading ----------------------------------------------------------------------------------------------------------------------


def read_ranks(architecture: str) -> dict[str, Folder]:
    """The rows of `| rank | folder | role | may also include |`, by folder."""
    folders = {}
    in_table = False
    for line in architecture.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[:2] == ["rank", "folder"]:
            in_table = True
        elif not line.startswith("|"):
            in_table = False
        elif in_table and len(cells) == 4 and not cells[0].startswith("-"):
            rank, name, _, also = cells
            words = set(re.findall(r"[a-z_]+", also))
            folders[name.strip("`/")] = Folder(int(rank) if rank.isdigit() else None, words)
    return folders


TOKENS = re.compile(
    r"""//[^\n]* | /\*.*?\*/                                      # comments
      | (?:u8|[uUL])?R"(?P<d>[^()\s\\]{0,16})\(.*?\)(?P=d)"        # raw strings
      | "(?:[^"\\\n]|\\.)*"                                       # strings
      | (?<![0-9a-zA-Z_])'(?:[^'\\\n]|\\.)+'                      # characters, not 1'000""",
    re.S | re.X,
)


def code_of(text: str) -> str:
    """The text with comments and literals blanked, every position kept."""
    return TOKENS.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


CLOSER = {"(": ")", "[": "]", "{": "}"}
OPENER = {closer: opener for opener, closer in CLOSER.items()}


def closing(code: str, start: int) -> int:
    """Position of the bracket that closes the one at `start`, or the end of the code."""
    depth = 0
    for i in range(start, len(code)):
        if code[i] in CLOSER:
            depth += 1
        elif code[i] in OPENER:
            depth -= 1
            if depth == 0:
                return i
    return len(code)


def opening(code: str, end: int) -> int:
    """Position of the bracket that opens the one at `end`, or -1."""
    depth = 0
    for i in range(end, -1, -1):
        if code[i] in OPENER:
            depth += 1
        elif code[i] in CLOSER:
            depth -= 1
            if depth == 0:
                return i
    return -1


# ---- rules: each takes (path, text, code) and yields findings ---------------------------------------------------------------------


def is_test(path: str) -> bool:
    return path.endswith("_test.cpp") or path.startswith("tests/")


def allowed(path: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def check_includes(path: str, text: str, folders: dict[str, Folder]) -> Iterator[Finding]:
    if not path.startswith("src/") or path.count("/") < 2:
        return
    own = path.split("/")[1]
    if own not in folders:
        yield Finding(path, 1, f"src/{own}/ is not in docs/architecture.md (add its row: rank, folder, role, may also include)")
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+"([a-z0-9_]+)/', line)
        if not match or match[1] == own:
            continue
        other = match[1]
        if other not in folders:
            yield Finding(path, number, f"{other}/ is not in docs/architecture.md (add its row, or use <>: the rules are read there)")
        elif folders[other].rank is None:
            if not path.endswith("_test.cpp"):
                yield Finding(path, number, f"{other}/ is for tests (move this into a *_test.cpp: what ships does not know its tests)")
        elif not may_include(folders[own], other, folders[other]):
            a, b = folders[own].rank, folders[other].rank
            reason = "siblings meet in app/ through pipeline/ports.h" if a == b == 5 else "dependencies point down only"
            what = f"{own}/ (rank {a}) includes {other}/ (rank {b})"
            yield Finding(path, number, f"{what} (move the shared part to a lower rank: {reason})")


def may_include(own: Folder, name: str, other: Folder) -> bool:
    return "everything" in own.may_include or name in own.may_include or other.rank < own.rank


def check_coroutines(path: str, code: str) -> Iterator[Finding]:
    for match in re.finditer(r"\bco_await\b", code):
        place = hostile_place(code, match.start(), match.end())
        if place:
            yield Finding(
                path,
                line_at(code, match.start()),
                f"co_await in {place} (await into a named local first: compilers have mishandled the temporaries there)",
            )
    for match in re.finditer(r"\bauto\s*&{0,2}\s*\[[^\]]*\]\s*[=:({][^;{]*\bco_await\b", code):
        yield Finding(
            path,
            line_at(code, match.start()),
            "co_await in a structured binding (await into a named local, then bind that: the hidden object's life is unclear)",
        )
    for position, captures, body in lambdas(code):
        if captures and re.search(r"\bco_(await|return|yield)\b", body):
            yield Finding(
                path,
                line_at(code, position),
                "a coroutine lambda that captures (pass what it needs as parameters: captures die with the lambda, not with the frame)",
            )


def hostile_place(code: str, left: int, right: int) -> str:
    """Walks outward from code[left:right], bracket by bracket up to the statement's ends, and says what stands around it."""
    while True:
        start, end = level_start(code, left), level_end(code, right)
        # What stands beside it at this level, as far as the commas that separate it from other arguments.
        before, after = flat(code[start + 1 : left]).split(",")[-1], flat(code[right:end]).split(",")[0]
        for operator in ("?", " && ", " || "):
            if operator in before or operator in after:
                return "a ?: expression" if operator == "?" else f"an operand of {operator.strip()}"
        if start < 0 or code[start] not in "([":
            return ""
        name = re.search(r"(\w+)\s*$", code[max(0, start - 80) : start])
        if name and name[1] in ("if", "while", "for", "switch"):
            return ""
        if name and re.fullmatch(r"[A-Z][A-Z0-9_]{2,}", name[1]):
            return f"the argument of the macro {name[1]}"
        left, right = start, end + 1


def level_start(code: str, position: int) -> int:
    """The unclosed bracket, or the end of the statement before, that bounds the expression to the left; -1 at the beginning."""
    i = position - 1
    while i >= 0 and code[i] not in "([{;}":
        i = opening(code, i) - 1 if code[i] in ")]" else i - 1
    return max(i, -1)


def level_end(code: str, position: int) -> int:
    """The same to the right."""
    i = position
    while i < len(code) and code[i] not in ")]};":
        i = closing(code, i) + 1 if code[i] in CLOSER else i + 1
    return i


def flat(side: str) -> str:
    """One side of an expression on one line, without what stands in brackets."""
    previous = None
    while previous != side:
        previous, side = side, re.sub(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}", "_", side)
    return " " + re.sub(r"\s+", " ", side) + " "


LAMBDA_REST = re.compile(r"\s*(?:<[^{};()]*>\s*)?(?=\(|\{|->|(?:mutable|noexcept|constexpr|static)\b)")
LAMBDA_BODY = re.compile(r"[^{};]*\{")


def lambdas(code: str) -> Iterator[tuple[int, str, str]]:
    """(position, captures, body without the bodies of lambdas inside) of every lambda."""
    found = []
    for match in re.finditer(r"(?<![\w\])\[])\[(?!\[)", code):
        start = match.start()
        close = closing(code, start)
        rest = LAMBDA_REST.match(code, close + 1)
        if not rest or re.search(r"\bauto\s*&{0,2}\s*$", code[max(0, start - 16) : start]):
            continue
        after = closing(code, rest.end()) + 1 if code[rest.end()] == "(" else rest.end()
        brace = LAMBDA_BODY.match(code, after)
        if brace:
            found.append((start, code[start + 1 : close].strip(), brace.end() - 1, closing(code, brace.end() - 1)))
    for start, captures, body, end in found:
        text = code[body : end + 1]
        for _, _, inner, inner_end in found:
            if body < inner and inner_end <= end:
                text = text[: inner - body] + " " * (inner_end - inner) + text[inner_end - body :]
        yield start, captures, text


def check_forbidden(path: str, code: str) -> Iterator[Finding]:
    if not path.startswith("src/"):
        return
    if not allowed(path, MAY_THROW):
        for match in re.finditer(r"\bthrow\b", code):
            reason = "only base/check.h throws, and never for bytes from outside"
            yield Finding(path, line_at(code, match.start()), f"throw (return a Result: {reason})")
    if not allowed(path, MAY_SHARE):
        for match in SHARED.finditer(code):
            yield Finding(
                path,
                line_at(code, match.start()),
                f"std::{match[1]} (use io/shared.h for process-wide truth, io/mailbox.h for messages: a worker shares nothing else)",
            )


def check_head(path: str, text: str) -> Iterator[Finding]:
    lines = text.splitlines()
    count = next((i for i, line in enumerate(lines) if not line.startswith("//")), len(lines))
    least = 1 if is_test(path) else HEAD_MIN
    if not least <= count <= HEAD_MAX:
        wanted = f"write {least} to {HEAD_MAX}: what it is for, who owns it, which thread"
        yield Finding(path, 1, f"begins with {count} comment lines ({wanted})")


def words_of(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


TYPE_NAME = re.compile(r"\b(?:class|struct|union|concept|enum(?:\s+(?:class|struct))?)\s+(?:\[\[.*?\]\]\s*)?(\w+)|\busing\s+(\w+)\s*=")


def check_names(path: str, code: str) -> Iterator[Finding]:
    names = [(1, "file", Path(path).name.split(".")[0])]
    names += [(line_at(code, match.start()), "type", match[1] or match[2]) for match in TYPE_NAME.finditer(code)]
    for line, kind, name in names:
        for word in words_of(name):
            if word in BANNED_WORDS:
                better = BANNED_WORDS[word]
                yield Finding(path, line, f"{kind} {name} has '{word}' in its name ({better}: the noun has not been found yet)")


def check_text(path: str, text: str) -> Iterator[Finding]:
    lines = text.splitlines()
    if path.endswith(".h") and not re.search(r"^#pragma once$", text, re.M):
        yield Finding(path, 1, "no #pragma once (add it below the head comment: headers are included many times)")
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            yield Finding(path, number, "a tab (use spaces: tabs look different everywhere)")
        if len(line) > COLUMNS_MAX:
            yield Finding(path, number, f"{len(line)} columns (wrap at {COLUMNS_MAX}: two files must fit side by side)")
    if len(lines) > LINES_MAX:
        yield Finding(path, 1, f"{len(lines)} lines, {LINES_MAX} at most (split by role: reader, writer, connection)")
    elif len(lines) > LINES_NOTE:
        yield Finding(path, 1, f"{len(lines)} lines (above {LINES_NOTE} a file wants a reason)", "note")


def check_file(path: str, text: str, folders: dict[str, Folder]) -> list[Finding]:
    code = code_of(text)
    return [
        *check_head(path, text),
        *check_text(path, text),
        *check_includes(path, text, folders),
        *check_forbidden(path, code),
        *check_names(path, code),
        *check_coroutines(path, code),
    ]


def check_tree(top: Path) -> list[Finding]:
    table = "docs/architecture.md"
    folders = read_ranks((top / table).read_text(encoding="utf-8"))
    findings = []
    if not folders:
        findings.append(Finding(table, 1, "no table of ranks (add | rank | folder | role | may also include |: the rules are read there)"))
    for folder in sorted((top / "src").glob("*/")):
        if not (folder / "README.md").is_file():
            name = f"src/{folder.name}"
            findings.append(Finding(name, 1, "no README.md (write one page: what it is for, who owns what, on which thread)"))
    for root in FOLDERS:
        for file in sorted((top / root).rglob("*")):
            if file.suffix in (".h", ".cpp") and file.is_file():
                path = file.relative_to(top).as_posix()
                findings += check_file(path, file.read_text(encoding="utf-8"), folders)
    return findings


def main() -> int:
    findings = check_tree(Path(__file__).resolve().parent.parent)
    for finding in findings:
        print(finding)
    errors = sum(finding.severity == "error" for finding in findings)
    print(f"tidy: {errors} errors, {len(findings) - errors} notes")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
