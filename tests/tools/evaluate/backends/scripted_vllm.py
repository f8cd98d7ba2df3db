"""A stand-in for vLLM's process: speaks the protocol of `vllm_script`, answers what a file tells it, and runs out.

Run as the `python` of VllmOptions: it ignores the script that it is given. The file beside it, answers.json, holds
{"ready": {...}, "rounds": [[[text, first token's logprobs, tokens], ...], ...]}; prompts are said to be the tokens of
"prompts.json" where that file is. A round too many ends it with an error, as vLLM would.
"""

import json
import sys
from pathlib import Path

here = Path(sys.argv[0]).parent
script = json.loads((here / "answers.json").read_text())
with (here / "asked.jsonl").open("a") as asked:
    settings = sys.stdin.readline()
    asked.write(settings)
    if script["ready"] is None:
        sys.exit("RuntimeError: no room for the model")
    print(json.dumps({"ready": script["ready"]}), flush=True)
    for line in sys.stdin:
        asked.write(line)
        asked.flush()
        if not script["rounds"]:
            sys.exit("IndexError: nothing is left to answer")
        request = json.loads(line)["requests"]
        prompts = json.loads((here / "prompts.json").read_text()) if (here / "prompts.json").is_file() else {}
        for one, (text, first, tokens) in zip(request, script["rounds"].pop(0), strict=True):
            body = {"id": one["id"], "texts": [text], "first": first, "tokens": tokens}
            print(json.dumps(body | {"prompt": prompts.get(one["id"], [])}), flush=True)
        print(json.dumps({"done": len(request)}), flush=True)
