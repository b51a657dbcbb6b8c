from cli_stage import plan

from chunkdl.cli.dry_run import spell_plan
from chunkdl.core.planner import Action, Plan, PlannedContent
from chunkdl.model import Digest, DigestAlgorithm, RemoteFile


def lines(made):
    return list(spell_plan("org/name", made, ["huggingface.co"]))


def test_files_that_can_run_code_are_marked_and_counted():
    files = tuple(
        RemoteFile(name, 10, Digest(DigestAlgorithm.SHA256, f"{number:064x}"))
        for number, name in enumerate(("config.json", "modeling.py", "pytorch_model.bin"))
    )
    contents = tuple(PlannedContent(each.digest, each.size, (each.path,), Action.FETCH) for each in files)
    told = lines(Plan(plan().artifact, contents, files))
    marked = [line.split()[0] for line in told if "(!)" in line and not line.startswith("#")]
    assert marked == ["modeling.py", "pytorch_model.bin"]
    assert told[-1] == "# (!): 2 files can run code of the publisher's when loaded"


def test_a_plan_without_such_files_says_nothing_of_them():
    assert not any("(!)" in line for line in lines(plan()))
