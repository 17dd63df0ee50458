"""The example in the engine's README does what it says."""

from __future__ import annotations

from pathlib import Path

import byway.engine
from byway.engine import Database, Statistics


def test_the_example_of_the_readme_runs_the_queries_that_it_names() -> None:
    text = Path(byway.engine.__file__).with_name("README.md").read_text(encoding="utf-8")
    example = text.split("```python\n")[1].split("```")[0]
    names = {name: getattr(byway.engine, name) for name in byway.engine.__all__}
    exec(compile(example, "README.md", "exec"), names)
    db = names["db"]
    assert isinstance(db, Database)
    assert db.statistics()[names["is_fast"]] == Statistics(n_memos=1, n_computed=2, n_reused=0, n_cut_off=1)
    assert db.statistics()[names["warning"]] == Statistics(n_memos=1, n_computed=1, n_reused=1, n_cut_off=0)
