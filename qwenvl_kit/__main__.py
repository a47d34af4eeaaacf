"""The command line, `python -m qwenvl_kit`.

`doctor` checks the installation; `inspect` shows a checkpoint without loading it; `train` trains
what a TOML file describes, and `launch-config` tells where settings for several processes lie;
`evaluate` measures a model by a benchmark, and `compare` compares two results.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from qwenvl_kit.diagnostics import Diagnosis, doctor
from qwenvl_kit.errors import QwenVLKitError

_EXIT_CODES = (
    "exit codes: 0 all is well, 1 the doctor or the check of examples found problems, or items of "
    "an evaluation failed, 2 it could not be done"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        arguments: the arguments after the program's name; None for those of this process.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except QwenVLKitError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m qwenvl_kit",
        description="Typed access to Qwen vision-language models.",
        epilog=_EXIT_CODES,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_doctor(commands)
    _add_inspect(commands)
    _add_train(commands)
    _add_launch_config(commands)
    _add_evaluate(commands)
    _add_compare(commands)
    return parser


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "doctor",
        help="look for what is wrong with this installation",
        description="Look at versions, devices, kernels, decoders and the hub's cache, and name "
        "the cure of what is wrong. Opens no connection and changes nothing.",
        epilog=_EXIT_CODES,
    )
    command.add_argument("--json", action="store_true", help="print the findings as JSON")
    command.set_defaults(run=_doctor)


def _add_inspect(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "inspect",
        help="tell what a checkpoint holds, without loading it",
        description="Tell what a checkpoint holds, without loading its weights.",
        epilog=_EXIT_CODES,
    )
    command.add_argument("model", metavar="MODEL", help="a folder, or an id such as Qwen/Name")
    command.add_argument(
        "--source",
        choices=("huggingface", "modelscope"),
        default="huggingface",
        help="where an id is looked up (default: %(default)s)",
    )
    command.add_argument("--revision", metavar="R", help="a branch, tag or commit (default: main)")
    command.add_argument("--offline", action="store_true", help="open no connection")
    command.set_defaults(run=_inspect)


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "train",
        help="train what a TOML file describes",
        description="Train what a TOML file describes. For several processes: "
        "accelerate launch -m qwenvl_kit train CONFIG.",
        epilog=_EXIT_CODES,
    )
    command.add_argument("config", metavar="CONFIG", help="a TOML file")
    command.add_argument(
        "--check", action="store_true", help="check the examples, and train nothing"
    )
    command.add_argument("--output", metavar="FOLDER", help="a folder in place of the file's")
    command.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        help="go on with the run in the folder (the default), or refuse one",
    )
    command.add_argument(
        "--set",
        metavar="TABLE.KEY=VALUE",
        action="append",
        default=[],
        help="a setting in place of the file's, such as training.epochs=3; may be repeated",
    )
    command.set_defaults(run=_train)


def _add_launch_config(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "launch-config",
        help="tell where settings for `accelerate launch --config_file` lie",
        description="Print the path of a file for `accelerate launch --config_file`: DeepSpeed's "
        "ZeRO-2 or ZeRO-3, or torch's FSDP.",
        epilog=_EXIT_CODES,
    )
    command.add_argument("strategy", choices=("zero2", "zero3", "fsdp"))
    command.set_defaults(run=_launch_config)


def _add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "evaluate",
        help="measure a model by a benchmark",
        description="Ask a model the questions of a benchmark, score its answers by the published "
        "rule, and print the score with its interval.",
        epilog=_EXIT_CODES,
    )
    command.add_argument("--list", action="store_true", help="name the benchmarks, and end")
    _add_questions(command.add_argument_group("questions"))
    _add_model(command.add_argument_group("model"))
    _add_run(command.add_argument_group("run"))
    command.set_defaults(run=_evaluate)


def _add_questions(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--benchmark", metavar="NAME", help="a name, such as docvqa; or own")
    group.add_argument("--data", metavar="FILE", help="the file of the questions")
    group.add_argument("--folder", metavar="FOLDER", help="the folder of pictures or films")
    group.add_argument("--split", help="the split of data that has several")
    group.add_argument("--prompt", help="the name of a prompt, or a text with {question} in it")
    group.add_argument("--scorer", metavar="NAME", help="the rule for --benchmark own")
    group.add_argument("--name", help="a name for the result")
    group.add_argument("--cluster", metavar="COLUMN", help="the column of what questions share")
    for option, metavar, told in (
        ("--group", "COLUMN", "a column that results are told by"),
        ("--column", "FIELD=COLUMN", "the column of a field, such as question=query"),
        ("--set", "NAME=VALUE", "another argument of the benchmark, such as max_frames=64"),
    ):
        group.add_argument(
            option, metavar=metavar, action="append", default=[], help=f"{told}; may be repeated"
        )


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model", metavar="MODEL", help="a folder, an id of a hub, or embedded")
    group.add_argument("--base-url", metavar="URL", help="the address of a server in its place")
    group.add_argument("--key-variable", metavar="NAME", help="the variable with the server's key")
    group.add_argument("--source", choices=("huggingface", "modelscope"), default="huggingface")
    group.add_argument("--revision", metavar="R", help="a branch, tag or commit of the hub")
    group.add_argument("--offline", action="store_true", help="fetch nothing")
    group.add_argument("--adapter", metavar="FOLDER", help="a LoRA adapter")
    group.add_argument("--quantization", choices=("4bit", "8bit"))
    group.add_argument("--device", default="auto", help="default: %(default)s")
    group.add_argument("--dtype", default="auto", help="default: %(default)s")
    group.add_argument("--judge-model", metavar="MODEL", help="a model that reads answers")
    group.add_argument("--judge-url", metavar="URL", help="the address of the judge's server")


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--limit", metavar="N", type=int, help="ask so many, drawn by the seed")
    group.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    group.add_argument("--budget", help="visual tokens of a picture, such as standard")
    group.add_argument("--fit", choices=("refuse", "shrink"), help="for items that are too long")
    group.add_argument("--method", choices=("text", "probability"), default="text")
    group.add_argument("--max-new-tokens", metavar="N", type=int)
    group.add_argument("--max-batch-size", metavar="N", type=int)
    group.add_argument(
        "--thinking",
        action=argparse.BooleanOptionalAction,
        help="think first or not, where the checkpoint can be switched",
    )
    group.add_argument("--journal", metavar="FILE", help="go on from here after a stop")
    group.add_argument(
        "--output",
        metavar="FOLDER",
        help="write result.json, items.csv and report.html, and a journal unless one is named",
    )
    group.add_argument(
        "--progress", action=argparse.BooleanOptionalAction, default=True, help="show a bar"
    )


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "compare",
        help="compare two results of `evaluate`, item by item",
        description="Compare two results on the same items: the difference with its interval, and "
        "the items that changed.",
        epilog=_EXIT_CODES,
    )
    command.add_argument("first", metavar="A.json", help="the result.json of a run")
    command.add_argument("second", metavar="B.json", help="that of another")
    command.set_defaults(run=_compare)


def _doctor(options: argparse.Namespace) -> int:
    diagnosis = doctor()
    print(_to_json(diagnosis) if options.json else diagnosis)
    return 0 if diagnosis.is_healthy else 1


def _to_json(diagnosis: Diagnosis) -> str:
    findings = [asdict(finding) for finding in diagnosis.findings]
    return json.dumps({"is_healthy": diagnosis.is_healthy, "findings": findings}, indent=2)


def _inspect(options: argparse.Namespace) -> int:
    from qwenvl_kit.checkpoints.inspection import inspect

    found = inspect(
        options.model,
        source=options.source,
        revision=options.revision,
        offline=options.offline,
    )
    print(found)
    return 0


def _train(options: argparse.Namespace) -> int:
    from qwenvl_kit.training.launch.command import train

    return train(options)


def _launch_config(options: argparse.Namespace) -> int:
    from qwenvl_kit.training.launch.shipped import launch_config

    print(launch_config(options.strategy))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from qwenvl_kit.evaluation.launch.command import evaluate_command

    return evaluate_command(options)


def _compare(options: argparse.Namespace) -> int:
    from qwenvl_kit.evaluation.launch.command import compare_command

    return compare_command(options)


if __name__ == "__main__":
    sys.exit(main())
