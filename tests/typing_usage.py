"""Ordinary calls, never run: type checkers read them to prove that the types are complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL.Image import Image
from typing_extensions import assert_type

from qwenvl_kit import (
    BatchEvent,
    ChatStats,
    Delta,
    Diagnosis,
    DocumentPart,
    Failure,
    Finding,
    ImagePart,
    MediaPolicy,
    Message,
    PixelBudget,
    Plan,
    Point,
    Region,
    Reply,
    Request,
    RequestLike,
    Results,
    Sampling,
    Subtitle,
    TextPart,
    VideoPart,
    VisionChat,
    doctor,
    inspect,
    read_subtitles,
)
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.calibration import Calibrator
from qwenvl_kit.evaluation import (
    Benchmark,
    DocVQA,
    Estimate,
    EvaluationItem,
    EvaluationResult,
    ScoredItem,
    SweepResult,
    compare_runs,
    evaluate,
    items_needed,
    sweep,
)
from qwenvl_kit.explain import Explanation, Faithfulness, explain
from qwenvl_kit.grounding.boxes import Box, PointMark
from qwenvl_kit.grounding.found_places import read_places
from qwenvl_kit.grounding.places import Boxes
from qwenvl_kit.grounding.space.found import Boxes3D
from qwenvl_kit.grounding.space.intrinsics import CameraIntrinsics
from qwenvl_kit.integrations.qwen_vl_utils import register_reader
from qwenvl_kit.live import FileSource, StreamSource, WatchEvent
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.messages.tool_parts import ToolCall
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.tasks import (
    VERSE_FORMS,
    Chapter,
    Click,
    Code,
    DocumentIndex,
    Event,
    Events,
    Evidence,
    EvidencedExtraction,
    Extraction,
    ImageAnswer,
    RankedPage,
    RenderComparison,
    Swipe,
    Thing,
    Writing,
    answer_from_document,
    ask_choice,
    ask_number,
    ask_video,
    ask_yes_no,
    caption_pages,
    classify,
    compare,
    count,
    describe,
    document_qa,
    extract,
    find_events,
    judge_description,
    locate,
    locate_3d,
    next_action,
    outline,
    parse_document,
    parse_pages,
    point_at,
    read_chapters,
    read_table,
    read_text,
    recognize,
    render_and_compare,
    stream_extract,
    summarize_video,
    think_with_images,
    to_code,
    trace_path,
    translate_text_in_image,
    write_from_image,
    zoom_answer,
)
from qwenvl_kit.training import (
    AdapterRecord,
    Evaluation,
    Example,
    LabelPart,
    Losses,
    MarkedSequence,
    PlacePart,
    StepLoss,
    TrainingReport,
    ValidationLoss,
    adapter_card,
    check_examples,
    compare_before_and_after,
    examples_from_replies,
    export_merged,
    load_run,
    read_examples,
    show_example,
)


def asking() -> None:
    chat = VisionChat.from_pretrained(budget="quick", media=MediaPolicy(max_pixels=10**6))
    reply = chat.ask("What is this?", "photo.jpg", Path("other.png"), b"...")
    assert_type(reply, Reply)
    assert_type(reply.confidence, "float | None")
    assert_type(reply.usage.visual_tokens, int)
    messages = [
        Message.system("You are an art critic."),
        Message.user(ImagePart("a.jpg", budget=PixelBudget(256, 512)), TextPart("Compare."), "?"),
    ]
    chat.ask(messages, sampling=Sampling(temperature=0.7, seed=7))
    chat.ask([{"role": "user", "content": [{"type": "image", "image": "file:///a.jpg"}]}])
    assert_type(chat.plan("Which way?", VideoPart(["1.png", "2.png"], fps=2.0)), Plan)
    assert_type(chat.plan("How long?", VideoPart("a.mp4", min_frames=8, max_frames=64)), Plan)
    document = DocumentPart("a.pdf", pages=(1, 3), password="secret", budget="fine")
    chat.ask([Message.user(document, DocumentPart(b"%PDF-1.7", pages=(2,)), "?")])
    assert_type(chat.ask("Who?", document, sampling=Sampling(max_new_tokens=8)), Reply)


def code_and_writing(chat: VisionChat) -> None:
    code = to_code(chat, "a.png", "svg", language="zh", budget="fine")
    assert_type(code, Code)
    assert_type(code.save("a.svg"), Path)
    assert_type(render_and_compare(code, "a.png", scale=2), RenderComparison)
    assert_type(write_from_image(chat, "a.png", words=200), Writing)
    form = VERSE_FORMS["七言绝句"].with_initials("春夏秋冬")
    assert_type(write_from_image(chat, "a.png", form=form).lines, "tuple[str, ...]")


def budgets_and_plans(chat: VisionChat) -> None:
    part = ImagePart("a.jpg", crop=Region(0, 0, 100, 100), budget=PixelBudget(max_long_edge_px=640))
    plan = chat.plan([Message.user(part, "?")], fit="shrink")
    assert_type(plan.advice, "tuple[str, ...]")
    assert_type(plan.fits_memory, "bool | None")
    pixel_map = plan.images[0].pixel_map
    assert_type(pixel_map.to_original(Point(1.0, 2.0)), Point)
    assert_type(chat.ask("?", "a.jpg", fit="shrink").plan.degradations, "tuple[str, ...]")


def videos(chat: VisionChat) -> None:
    film = VideoPart("talk.mp4", fps=1, start_seconds=60, budget="quick")
    assert_type(chat.plan([Message.user(film, "?")]).videos[0].timestamps_seconds[0], float)
    summary = summarize_video(chat, "talk.mp4", "Who speaks?", journal="talk.jsonl")
    assert_type(summary.segments[0].start_seconds, float)
    assert_type(summary.failures[0].failure, "Failure | None")
    register_reader(image_patch_size=16)
    lines = read_subtitles("talk.srt", encoding="utf-8")
    assert_type(lines, "tuple[Subtitle, ...]")
    chat.ask("?", VideoPart("talk.mp4", subtitles="auto", max_subtitle_tokens=2000))
    chat.ask("?", VideoPart("talk.mp4", subtitles=[Subtitle(0, 1.5, "Hello"), *lines]))
    events = find_events(chat, "match.mp4", "all goals", language="zh", progress=True)
    assert_type(events, Events)
    assert_type(events[0], Event)
    assert_type(events[0].confidence, "float | None")
    assert_type(ask_video(chat, Path("talk.mp4"), "When?").times, "tuple[float, ...]")
    assert_type(read_chapters("talk.mp4")[0], Chapter)
    assert_type(summarize_video(chat, "talk.mp4", chapters=True).chapters[0].title, str)


def watching(chat: VisionChat) -> None:
    source = StreamSource("rtsp://camera.local/live", allow_hosts=["camera.local"])
    with chat.watch(source, "Who is there?", every_seconds=5) as watch:
        for event in watch:
            assert_type(event, WatchEvent)
            assert_type(event.reply, "Reply | None")
            assert_type(event.ended_at, datetime)
    chat.watch(0, "?")
    chat.watch(FileSource("film.mp4", speed=2.0), "?")
    chat.watch((frame for frame in ["1.png"]), "?").stop()


def streaming(chat: VisionChat) -> None:
    for delta in (stream := chat.stream("Describe this.", "photo.jpg")):
        print(delta.text, end="")
    assert_type(stream.reply, Reply)


def asking_many(chat: VisionChat) -> None:
    requests: list[RequestLike] = [
        "a question",
        Request.about("What?", "a.jpg", id="1"),
        [Message.user("hello")],
    ]
    for result in chat.ask_many(requests, progress=True):
        assert_type(result, "Reply | Failure")
        print(result.text if isinstance(result, Reply) else result.error.where)
    assert_type(chat.ask_many(requests, on_error="raise"), list[Reply])
    assert_type(chat.ask_many(requests, journal="run.jsonl"), list[Reply | Failure])
    for event in (stream := chat.stream_many(requests)):
        assert_type(event, BatchEvent)
        assert_type(event.delta, Delta | None)
    assert_type(stream.results, list[Reply | Failure])
    shown = Results(stream.results[:10])
    assert_type(shown, Results[Reply | Failure])
    assert_type(shown.to_dicts(), list[dict[str, Any]])
    filtered: list[Reply] = [reply for reply in shown if isinstance(reply, Reply)]
    assert_type(Results(filtered), Results[Reply])


def showing(chat: VisionChat, boxes: Boxes) -> None:
    reply = chat.ask("What is this?", "photo.jpg")
    assert_type(reply.to_dict(), dict[str, Any])
    assert_type(reply.plan.show(), Image)
    assert_type(chat.plan("?", "a.mp4").videos[0].show(), Image)
    assert_type(boxes.draw(boxes.draw(), font="font.ttf"), Image)
    assert_type(boxes.to_coco(file_name="photo.jpg"), dict[str, Any])


def evaluating(chat: VisionChat) -> None:
    result = evaluate(chat, DocVQA("DocVQA_VAL.tsv", prompt="vlmevalkit"), limit=200)
    assert_type(result, EvaluationResult)
    assert_type(result.interval, tuple[float, float])
    assert_type(result.by_group["language"]["ja"], Estimate)
    for item in result.items:
        assert_type(item, ScoredItem)
        assert_type(item.read, str | None)
    own = Benchmark("mine.jsonl", scorer=lambda answer, item: float(item.targets[0] in answer))
    assert_type(own[0], EvaluationItem)
    assert_type(own[:2], Sequence[EvaluationItem])
    assert_type(compare_runs(result, "other.json").difference, float)
    assert_type(sweep(chat, own, budgets=["quick", PixelBudget(max_tokens=64)]), SweepResult)
    assert_type(items_needed(0.02), int)


async def awaiting(chat: VisionChat) -> None:
    assert_type(await chat.ask_async("What is this?", "photo.jpg"), Reply)
    assert_type(chat.stats(), ChatStats)


def loading() -> None:
    chat = VisionChat.from_pretrained(
        "Qwen/Qwen3-VL-8B-Instruct",
        source="modelscope",
        revision="master",
        offline=True,
        quantization="4bit",
        attention="sdpa",
        compile=False,
        adapter=Path("adapters/receipts"),
    )
    assert_type(chat.report()["dtype_reason"], str)
    assert_type(chat.adapters.load("adapters/menus", "menus"), str)
    assert_type(chat.adapters.active, "str | None")
    chat.adapters.use(None)
    assert_type(chat.self_test(), Diagnosis)
    found = inspect("Qwen/Qwen2-VL-2B-Instruct")
    assert_type(found.num_parameters, "int | None")
    assert_type(found.weight_bytes["4bit"], int)
    assert_type(chat.cache_info().used_bytes, int)
    assert_type(chat.clear_cache(), int)
    assert_type(doctor().problems[0], Finding)


def engines() -> None:
    """Servers and vLLM."""
    chat = VisionChat.connect(
        "http://127.0.0.1:8000/v1",
        model="Qwen/Qwen3-VL-8B-Instruct",
        api_key="key",
        image_encoding="png",
        headers={"X-Team": "blue"},
        timeout_seconds=60,
        answer_timeout_seconds=600.0,
        setup_timeout_seconds=120,
        use_environment_proxy=True,
        budget="standard",
    )
    assert_type(chat, VisionChat)
    assert_type(VisionChat.from_vllm(Path("model"), tensor_parallel_size=2), VisionChat)
    threads = {"INFERENCE_NUM_THREADS": 8}
    assert_type(VisionChat.from_openvino("exported", properties=threads), VisionChat)
    token = chat.ask("What?").scores[0]
    assert_type(token.token_id, int | None)


def parse_a_document(chat: VisionChat) -> str:
    document = parse_document(chat, "report.pdf", "markdown", pages=[1, 2], progress=True)
    for block in document.joined:
        if block.table is not None and block.box is not None:
            print(block.page, block.table.rows, block.box.x1_px, block.confidence)
    for page in parse_pages(chat, "report.pdf", orientation="auto"):
        print(page.number, page.warnings)
    passages: list[dict[str, Any]] = document.to_passages()
    return document.to_markdown("pictures") + document.to_html() + str(len(passages))


def tasks() -> None:
    chat = VisionChat(ScriptedBackend(["yes"]))
    assert_type(describe(chat, "a.jpg").text, str)
    assert_type(compare(chat, "a.jpg", "b.jpg").confidence, "float | None")
    assert_type(read_text(chat, "a.jpg").lines, "tuple[str, ...]")
    assert_type(translate_text_in_image(chat, "menu.jpg").target_language, str)
    step = next_action(chat, "screen.png", "Open the menu.", earlier=["I looked."])
    assert_type(step.confidence, "float | None")
    if isinstance(step.action, Click):
        assert_type(step.action.at, "Point | None")
    answers = document_qa(chat, "receipt.png", ["What is the total?"])
    assert_type(answers["What is the total?"].text, str)
    for question in answers:
        assert_type(question, str)
    assert_type(dict(answers.failures), dict[str, Failure])


@dataclass
class Receipt:
    total: float
    date: str | None


def typed_answers(chat: VisionChat) -> None:
    assert_type(extract(chat, "receipt.png", Receipt), Extraction[Receipt])
    assert_type(extract(chat, "receipt.png", Receipt, evidence=False), Extraction[Receipt])
    sourced = extract(chat, "receipt.pdf", Receipt, evidence=True, verify=True)
    assert_type(sourced, EvidencedExtraction[Receipt])
    assert_type(sourced.value.total, float)
    assert_type(sourced.evidence["total"], Evidence)
    assert_type(sourced.evidence["total"].box, Box | None)
    assert_type(sourced.missing, tuple[str, ...])
    sourced.draw(1).save("page.png")
    index = DocumentIndex(caption_pages(chat, "report.pdf"))
    cited = answer_from_document(chat, "report.pdf", "Who?", index=index)
    assert_type(cited.box, Box | None)
    assert_type(cited.looked_at, tuple[RankedPage, ...])
    assert_type(extract(chat, ["1.png", "2.png"], Receipt).value.total, float)
    for value in stream_extract(chat, "receipt.png", Receipt):
        assert_type(value, Any)
    assert_type(classify(chat, "receipt.png", ["a", "b"]).label, str)
    assert_type(ask_yes_no(chat, "Is it?", "a.png").probability, float)
    assert_type(ask_number(chat, "How many?", "a.png", whole=True).value, float)
    assert_type(count(chat, "a.png", "cups").confidence, "float | None")
    assert_type(read_table(chat, "a.png").rows, "tuple[tuple[str, ...], ...]")
    assert_type(judge_description(chat, "a.png", "A cup.").accuracy, float)
    form = Constraint.from_regex("[0-9]+")
    assert_type(chat.ask("Which?", "a.png", constraint=form, abstain_below=0.5).is_abstained, bool)
    assert_type(chat.ask("Which?", num_samples=3).agreement, "float | None")


def places(chat: VisionChat) -> None:
    boxes = locate(chat, "a.png", "the cup", language="zh")
    assert_type(boxes, Boxes)
    assert_type(boxes[0], Box)
    assert_type(boxes[1:], "tuple[Box, ...]")
    for box in boxes:
        assert_type(box.region, Region)
    assert_type(point_at(chat, "a.png", "the cup")[0], PointMark)
    assert_type(recognize(chat, "a.png", Receipt)[0].value.total, float)
    assert_type(recognize(chat, "a.png", Receipt, kind="receipts").values, "tuple[Receipt, ...]")
    assert_type(recognize(chat, "a.png", "food", names=["zh"])[0].value, Thing)
    assert_type(recognize(chat, "a.png", {"type": "object"})[0].box, Box)
    cars = locate_3d(chat, "a.png", "cars", CameraIntrinsics(1266, 1266, 816, 491))
    assert_type(cars, Boxes3D)
    assert_type(cars[0].project(cars.camera), "tuple[Point | None, ...]")
    assert_type(cars[0].corners[0].z_m, float)
    assert_type(outline(chat, "a.png", "signs")[0].area_pixels, float)
    assert_type(trace_path(chat, "a.png", "go on")[0], PointMark)
    assert_type(ask_choice(chat, "Which?", ["a", "b"], "a.png", form="letters").label, str)
    found = read_places(chat.ask("Outline it.", "a.png"), chat.family)
    assert_type(found.polygons[0].box.x1_px, float)
    assert_type(found.boxes_3d[0].y_degrees, float)


def calibration(chat: VisionChat, replies: list[Reply], correct: list[bool]) -> None:
    calibrator = Calibrator.fit(replies, correct, method="temperature", signal="mean")
    assert_type(calibrator.report(replies, correct).ece, float)
    calibrator.save("calibration.json")
    assert_type(chat.calibrator, "Calibrator | None")
    chat.calibrator = Calibrator.load("calibration.json")


def training(chat: VisionChat) -> None:
    examples = read_examples("train.jsonl", form="swift", columns={"question": "query"})
    mixed = read_examples({"a.jsonl": 0.7, "b.jsonl": 0.3}, seed=1, until="all")
    assert_type(mixed.notes, tuple[str, ...])
    for example in examples:
        assert_type(example, Example)
        assert_type(example.messages[0], Message)
    report = check_examples(
        "Qwen/Qwen2-VL-2B-Instruct", examples, budget="standard", max_tokens=8192
    )
    assert_type(report.tokens.most_99, int)
    assert_type(report.faults[0].where, str)
    report.raise_faults()
    box = PlacePart((1, 2, 30, 40))
    own = Example([Message.user("a.png", LabelPart("cup")), Message.assistant(box)], weight=2.0)
    assert_type(show_example("model", own), tuple[MarkedSequence, ...])
    requests = [Request.about("What?", "a.png", id="a")]
    replies = chat.ask_many(requests)
    assert_type(examples_from_replies(requests, replies, {"a": "A cup."}), list[Example])
    assert_type(examples_from_replies(requests, "run.jsonl"), list[Example])
    served = VisionChat.from_pretrained("model", adapter="out/adapter", budget=None)
    assert_type(export_merged(served, "whole"), Path)
    losses = [Evaluation(10, training=1.0)]
    assert_type(adapter_card(AdapterRecord("model", evaluations=losses)), str)


def seeing(chat: VisionChat) -> None:
    run = load_run("out")
    assert_type(run.adapter, Path | None)
    assert_type(run.losses[0], StepLoss)
    assert_type(run.losses[1:], tuple[StepLoss, ...])
    assert_type(run.losses.best, ValidationLoss | None)
    assert_type(run.losses.to_rows(), list[dict[str, float | int | None]])
    assert_type(Losses.from_log([{"step": 1, "loss": 2.5}]), Losses)
    for example in run.report.examples:
        assert_type(example.nll_after, float | None)
    assert_type(run.record.settings.epochs, float)
    assert_type(run.record.differences(run.record), tuple[str, ...])
    examples = read_examples("val.jsonl")
    assert_type(compare_before_and_after(chat, examples, num_shown=2), TrainingReport)


def weather(city: str) -> str:
    """Rain."""
    return city


def tools(chat: VisionChat) -> None:
    run = chat.run_tools("Rain?", "a.png", tools=[weather])
    assert_type(run.reply, Reply)
    assert_type(run.calls[0].seconds, float)
    assert_type(run.warnings, tuple[str, ...])
    reply = chat.ask("Rain?", tools=[weather])
    for call in reply.tool_calls:
        assert_type(call, ToolCall)
        thought = ThinkingPart(reply.thinking or "")
        chat.ask([Message.user("?"), Message.assistant(thought, call), Message.tool("Rain.")])
    for unread in reply.unread_calls:
        assert_type(unread.reason, str)


def looking(chat: VisionChat) -> None:
    answer = think_with_images(chat, ["a.png", "b.png"], "Where?", tools=["zoom"], max_steps=3)
    assert_type(answer, ImageAnswer)
    assert_type(answer.steps[0].box, Box | None)
    assert_type(answer.regions(1), Boxes)
    assert_type(zoom_answer(chat, "a.png", "What?", what="the sign").boxes(), Boxes)
    step = next_action(chat, "a.png", "Go.", device="mobile")
    if isinstance(step.action, Swipe):
        assert_type(step.action.start, Point)
    assert_type(step.thought, str)


def explaining(chat: VisionChat) -> None:
    request = Request.about("What is it?", "a.png")
    seen = explain(chat, chat.ask(request), request, word="cat", method="gradient", layers=[2, 3])
    assert_type(seen, Explanation)
    assert_type(seen.peak_px, Point)
    assert_type(seen.maps[0].timestamps_seconds, tuple[float, ...])
    assert_type(seen.faithfulness(chat), Faithfulness)
    explain(chat, chat.ask("What is it?", "a.png"), "What is it?", "a.png", span=(0, 3))


def debugging(chat: VisionChat) -> None:
    with chat.memory_report() as report, chat.trace() as trace:
        chat.ask("Hello")
    assert_type(report.peak_bytes, int | None)
    assert_type(trace.requests[0].seconds, float)
    trace.save("trace.json")
