"""Evaluation: the published benchmarks, scored as published, and your own.

    from qwenvl_kit import VisionChat
    from qwenvl_kit.evaluation import DocVQA, compare_runs, evaluate

    chat = VisionChat.from_pretrained("Qwen/Qwen2-VL-2B-Instruct")
    result = evaluate(chat, DocVQA("DocVQA_VAL.tsv"), journal="run.jsonl", limit=200)
    print(result.score, result.interval, result.num_unread, result.num_failed)

An answer that cannot be read is wrong, counted and shown: nothing is guessed. Each score has an
interval, and each run can be repeated from its record.
"""
