#!/usr/bin/env python3
"""Tests of tidy.py: for each rule, what it refuses and what looks like it and is fine."""

import tempfile
import unittest
from pathlib import Path

import tidy

TABLE = """
| rank | folder | role | may also include |
|---|---|---|---|
| 0 | `base/` | bytes, `Result` | – |
| 1 | `async/` | tasks | – |
| 1 | `data/` | JSON | `async/` |
| 4 | `pipeline/` | services | – |
| 5 | `policy/` | policies | – |
| 5 | `upstream/` | clusters | – |
| 6 | `app/` | main | – |
| – | `testing/` | virtual time | everything |

| not | the | ranks | table |
|---|---|---|---|
| 7 | `other/` | no | – |
"""
FOLDERS = tidy.read_ranks(TABLE)
HEAD = "// What it is for.\n// Who owns it.\n"


def check(text: str, path: str = "src/policy/retry.cpp", head: str = HEAD) -> list[str]:
    return [str(finding) for finding in tidy.check_file(path, head + text, FOLDERS)]


class Base(unittest.TestCase):
    def refused(self, text: str, word: str, path: str = "src/policy/retry.cpp", line: int = 3, head: str = HEAD):
        findings = check(text, path, head)
        self.assertEqual(len(findings), 1, findings)
        self.assertTrue(findings[0].startswith(f"{path}:{line}: error: "), findings[0])
        self.assertIn(word, findings[0])
        self.assertRegex(findings[0], r"\(.*: .*\)$", "the message names a replacement and a reason")

    def fine(self, text: str, path: str = "src/policy/retry.cpp", head: str = HEAD):
        self.assertEqual(check(text, path, head), [])


class Ranks(Base):
    def test_table(self):
        self.assertEqual(FOLDERS["base"], tidy.Folder(0, set()))
        self.assertEqual(FOLDERS["data"], tidy.Folder(1, {"async"}))
        self.assertEqual(FOLDERS["testing"], tidy.Folder(None, {"everything"}))
        self.assertNotIn("other", FOLDERS)

    def test_the_project_s_own_table(self):
        ranks = tidy.read_ranks((Path(__file__).parent.parent / "docs/architecture.md").read_text(encoding="utf-8"))
        self.assertEqual((ranks["base"].rank, ranks["pipeline"].rank, ranks["app"].rank, ranks["testing"].rank), (0, 4, 6, None))

    def test_down_is_fine(self):
        self.fine('#include "pipeline/policy.h"\n#include "policy/limit.h"\n#include <vector>\n#include "liburing.h"\n')
        self.fine('#include "upstream/cluster.h"\n', "src/app/main.cpp")

    def test_up_and_sideways_are_refused(self):
        self.refused('#include "policy/retry.h"\n', "down only", "src/pipeline/chain.cpp")
        self.refused('#include "upstream/cluster.h"\n', "siblings")
        self.refused('  #  include "data/json.h"\n', "down only", "src/async/task.cpp")
        self.refused('#include "nowhere/x.h"\n', "docs/architecture.md")
        self.refused("", "docs/architecture.md", "src/nowhere/x.cpp", line=1)

    def test_what_the_table_states_is_fine(self):
        self.fine('#include "async/task.h"\n', "src/data/json.cpp")

    def test_testing_is_for_tests(self):
        self.refused('#include "testing/bench.h"\n', "for tests")
        self.fine('#include "testing/bench.h"\n', "src/policy/retry_test.cpp")
        self.fine('#include "app/wiring.h"\n#include "testing/sim.h"\n', "src/testing/bench.cpp")
        self.refused('#include "upstream/cluster.h"\n', "siblings", "src/policy/retry_test.cpp")


class Coroutines(Base):
    def test_conditional(self):
        self.refused("int x = c ? co_await f() : 1;\n", "?:")
        self.refused("int x = co_await f() ? 2 : 1;\n", "?:")
        self.refused("int x = c ? g(co_await f()) : 1;\n", "?:")

    def test_short_circuit(self):
        self.refused("bool x = a && co_await f();\n", "&&")
        self.refused("if (co_await f() ||\n    b) g();\n", "||")
        self.refused("while (a && (co_await f()).ok()) {}\n", "&&")

    def test_what_only_stands_near_is_fine(self):
        self.fine("auto&& x = co_await f(a && b, c ? 1 : 2);\n")
        self.fine("if (a && b) co_await f();\n")
        self.fine("if (co_await f()) return a && b;\n")
        self.fine("g(a && b, co_await f());\n")
        self.fine("if (auto r = co_await f(); r && s) g();\n")
        self.fine("x = a && b;\nco_await f();\ny = c ? 1 : 2;\n")
        self.fine("// a && co_await b\nauto s = \"c ? co_await d : e\";\n")
        self.fine("auto s = R\"(x && co_await \" y)\"; int n = 1'000; char c = '\"';\n")

    def test_structured_binding(self):
        self.refused("auto [a, b] = co_await f();\n", "structured binding")
        self.refused("for (auto& [a, b] : co_await f()) g();\n", "structured binding")
        self.fine("auto both = co_await f();\nauto& [a, b] = both;\n")

    def test_macro_argument(self):
        self.refused("CHECK(co_await f());\n", "CHECK")
        self.refused("EXPECT_EQ(1, g(co_await f()));\n", "EXPECT_EQ")
        self.fine("T(co_await f());\nCheck(co_await f());\n")

    def test_capturing_lambda(self):
        self.refused("auto l = [&] { co_return; };\n", "captures")
        self.refused("spawn([x](int a) -> Task<Result<int>> { co_return co_await f(a, x); });\n", "captures")
        self.refused("auto l = [x = 1]<class T>(T t) mutable noexcept { co_yield t; };\n", "captures")
        self.fine("auto l = [](int a) -> Task<int> { co_return co_await f(a); };\n")
        self.fine("auto l = [&] { return f(a[i], [](int b) -> Task<int> { co_return b; }); };\n")
        self.fine("Task<int> f() { if (a[i](1)) { co_return 1; } }\n")
        self.fine("int x[3] = {1, 2, 3};\n[[nodiscard]] Task<int> f() { a[i](1); co_return x[0]; }\n")


class Forbidden(Base):
    def test_throw(self):
        self.refused("throw Oops();\n", "throw")
        self.fine("throw Oops();\n", "src/base/check.h", HEAD + "#pragma once\n")
        self.refused("int n = 1'000;\nthrow n; int m = 1'000;\n", "throw", line=4)
        self.fine("// throw\nint throw_away;\n")

    def test_sharing(self):
        for what in ("std::mutex m;", "std::atomic<int> a;", "std::atomic_ref r(x);", "std::jthread t;", "std::shared_mutex m;"):
            self.refused(what + "\n", what.split()[0].split("<")[0])
        text = "std::mutex m;\nstd::atomic<int> a;\nstd::thread t;\n"
        for path in ("src/base/log.cpp", "src/app/main.cpp", "src/policy/retry_test.cpp"):
            self.fine(text, path)
        self.assertTrue(tidy.allowed("src/io/mailbox.h", tidy.MAY_SHARE))
        self.assertTrue(tidy.allowed("src/telemetry/log_writer.cpp", tidy.MAY_SHARE))
        self.assertFalse(tidy.allowed("src/io/loop.cpp", tidy.MAY_SHARE))

    def test_only_in_src(self):
        self.fine("throw 1;\nstd::mutex m;\n", "bench/forwarder.cpp")


class Shape(Base):
    def test_head(self):
        self.refused("// one\nint x;\n", "1 comment", line=1, head="")
        self.refused("int x;\n", "0 comment", line=1, head="")
        self.refused("// x\n" * 9, "9 comment", line=1, head="")
        self.fine("// x\n" * 8, head="")
        self.fine("// one\nint x;\n", "src/policy/retry_test.cpp", head="")
        self.refused("int x;\n", "0 comment", "tests/wire/x.cpp", line=1, head="")

    def test_names(self):
        self.refused("class PoolManager {\n", "Manager".lower())
        self.refused("enum class HandlerKind {\n", "handler")
        self.refused("using StringUtils = int;\n", "utils")
        self.refused("struct [[nodiscard]] ChainImpl;\n", "impl")
        self.refused("", "helper", "src/policy/retry_helper.cpp", line=1)
        self.fine("struct Handle;\nclass Commonwealth;\nclass Implication;\nint manager;\n")

    def test_headers(self):
        self.refused("int x;\n", "#pragma once", "src/policy/retry.h", line=1)
        self.fine("#pragma once\n", "src/policy/retry.h")

    def test_lines(self):
        self.refused("\tint x;\n", "tab")
        self.refused("//" + "x" * 139 + "\n", "141 columns", head=HEAD + "\n", line=4)
        self.fine("\n//" + "ü" * 138 + "\n")

    def test_size(self):
        self.fine("\n" * 398)
        self.assertEqual([finding.severity for finding in tidy.check_file("src/policy/x.cpp", HEAD + "\n" * 399, FOLDERS)], ["note"])
        self.refused("\n" * 599, "601 lines", line=1)


class Tree(unittest.TestCase):
    def test_a_whole_tree(self):
        with tempfile.TemporaryDirectory() as name:
            top = Path(name)
            for path, text in {
                "docs/architecture.md": TABLE,
                "src/base/README.md": "# base\n",
                "src/base/bytes.h": HEAD + "#pragma once\n",
                "src/policy/retry.cpp": HEAD + '#include "upstream/cluster.h"\n',
                "fuzz/fuzz_json.cpp": HEAD + "\tint x;\n",
            }.items():
                (top / path).parent.mkdir(parents=True, exist_ok=True)
                (top / path).write_text(text, encoding="utf-8")
            found = [(finding.path, finding.line) for finding in tidy.check_tree(top)]
        self.assertEqual(found, [("src/policy", 1), ("src/policy/retry.cpp", 3), ("fuzz/fuzz_json.cpp", 3)])

    def test_without_a_table_nothing_passes(self):
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "docs").mkdir()
            (Path(name) / "docs/architecture.md").write_text("no table\n", encoding="utf-8")
            self.assertEqual(len(tidy.check_tree(Path(name))), 1)


if __name__ == "__main__":
    unittest.main()
