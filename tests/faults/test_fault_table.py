"""The table of faults in README.md is complete, and every test that it names exists and is not skipped for good."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent


def test_every_fault_names_tests_that_exist() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+) \|$", (HERE / "README.md").read_text(), re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, 56))
    found = {
        (path.name, node.name): node
        for path in HERE.glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    for number, *_, tests in rows:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", tests)
        assert named, f"fault {number} names no test"
        for name in named:
            assert name in found, f"fault {number}: {'::'.join(name)} does not exist"
            decorators = [ast.unparse(item) for item in found[name].decorator_list]
            assert not any(re.search(r"mark\.(skip|xfail)\b", item) for item in decorators), f"fault {number}: {name}"


def test_the_parametrised_broker_test_covers_its_faults() -> None:
    """Faults that share one test are numbered in its parameters."""
    tree = ast.parse((HERE / "test_broker.py").read_text())
    test = next(n for n in tree.body if getattr(n, "name", "") == "test_whatever_the_answer_the_order_lands_once")
    assert isinstance(test, ast.FunctionDef)
    call = test.decorator_list[0]
    assert isinstance(call, ast.Call)
    numbers = {ast.literal_eval(case)[0] for case in call.args[1].elts if "HTML" not in ast.unparse(case)}  # type: ignore[attr-defined]
    shared = {
        int(number)
        for number, tests in re.findall(r"^\| (\d+) \|.*\| (.+) \|$", (HERE / "README.md").read_text(), re.MULTILINE)
        if "test_whatever_the_answer" in tests
    }
    assert shared - {29} == numbers
