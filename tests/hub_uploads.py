"""A row of each of the usual uploads, with its columns, and what a row schema makes of it."""

from rlvr.data.hub_schemas import DAPO_HEAD, DAPO_TAIL


def dapo(question, answer="34", index="9a9b6eb4", data_source="math_dapo"):
    content = DAPO_HEAD + question + DAPO_TAIL
    return {
        "data_source": data_source,
        "prompt": [{"content": content, "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": answer, "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": index},
    }


PROCESSED = {
    "prompt": "Find $x$.",
    "solution": "34",
    "data_source": "math_dapo",
    "source_prompt": [{"content": "...", "role": "user"}],
    "ability": "MATH",
    "reward_model": {"ground_truth": "34", "style": "rule-lighteval/MATH_v2"},
    "extra_info": {"index": "9a9b6eb4"},
}
# Schema, a row with the columns of the upload, and the problem's id, prompt and answer.
UPLOADS = {
    "BytedTsinghua-SIA/DAPO-Math-17k": (
        "dapo_math_17k",
        dapo("Find $x$."),
        ("dapo_math_17k/9a9b6eb4", "Find $x$.", "34"),
    ),
    "open-r1/DAPO-Math-17k-Processed": (
        "dapo_math_17k",
        PROCESSED,
        ("dapo_math_17k/9a9b6eb4", "Find $x$.", "34"),
    ),
    "EleutherAI/hendrycks_math": (
        "math",
        {
            "problem": "$1/2$?",
            "level": "Level 5",
            "type": "Algebra",
            "solution": r"\boxed{1}, or rather $\boxed{\frac{1}{2}}$.",
        },
        ("math/test/00000", "$1/2$?", r"\frac{1}{2}"),
    ),
    "HuggingFaceH4/MATH-500": (
        "math500",
        {
            "problem": "p",
            "solution": "s",
            "answer": r"\left( 3, \frac{\pi}{2} \right)",
            "subject": "Precalculus",
            "level": 2,
            "unique_id": "test/precalculus/807.json",
        },
        ("math500/test/precalculus/807.json", "p", r"\left( 3, \frac{\pi}{2} \right)"),
    ),
    "openai/gsm8k": (
        "gsm8k",
        {"question": "How much?", "answer": "16 - 3 = <<16-3=13>>13\n#### 1,300"},
        ("gsm8k/test/00000", "How much?", "1300"),
    ),
    "HuggingFaceH4/aime_2024": (
        "aime24",
        {"id": 60, "problem": "p", "solution": "s", "answer": "033", "url": "u", "year": "2024"},
        ("aime24/60", "p", "33"),
    ),
    "math-ai/aime24": (
        "aime24",
        {"id": 60, "problem": "p", "solution": r"\boxed{204}", "url": "u"},
        ("aime24/60", "p", "204"),
    ),
    "Maxwell-Jia/AIME_2024": (
        "aime24",
        {"ID": "2024-II-4", "Problem": "p", "Solution": "s", "Answer": 33},
        ("aime24/2024-II-4", "p", "33"),
    ),
    "math-ai/aime25": (
        "aime25",
        {"problem": "p", "answer": "70", "id": "0"},
        ("aime25/0", "p", "70"),
    ),
    "opencompass/AIME2025": (
        "aime25",
        {"question": "p", "answer": r"336^\circ"},
        ("aime25/test/00000", "p", "336"),
    ),
    "math-ai/amc23": (
        "amc23",
        {"id": 0, "question": "p", "answer": "27", "url": "u"},
        ("amc23/0", "p", "27"),
    ),
    "AI-MO/aimo-validation-amc": (
        "amc23",
        {"id": 0, "problem": "p", "answer": -1.0, "url": "u"},
        ("amc23/0", "p", "-1"),
    ),
    "cais/mmlu": (
        "mmlu",
        {"question": "p", "subject": "anatomy", "choices": ["w", "x", "y", "z"], "answer": 2},
        ("mmlu/test/00000", "p", "C"),
    ),
    "openai/openai_humaneval": (
        "humaneval",
        {
            "task_id": "HumanEval/0",
            "prompt": "def f(x):\n",
            "canonical_solution": "    return x\n",
            "test": "def check(candidate): ...",
            "entry_point": "f",
        },
        ("humaneval/HumanEval/0", "def f(x):\n", "    return x\n"),
    ),
}
VERIFIERS = {"mmlu": "choice", "humaneval": "code"}
