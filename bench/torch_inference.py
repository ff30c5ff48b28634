"""Windows per CPU-second of training/model.py in PyTorch, made-up weights, one thread. Called by inference-backends.ts."""

import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "training"))
from model import EmotionNet  # noqa: E402

channels, rounds, measure_ms, *batches = map(int, sys.argv[1:])
torch.set_num_threads(1)
model = EmotionNet(channels, 9).eval()
results = []
with torch.inference_mode():
    for batch in batches:
        features, mask = torch.randn(batch, channels, 1, 300), torch.ones(batch, 1, 1, 300)
        model(features, mask)
        measured = []
        for _ in range(rounds):
            cpu, wall, done = time.process_time(), time.perf_counter(), 0
            while done < 2 * batch or (time.perf_counter() - wall) * 1000 < measure_ms:
                model(features, mask)
                done += batch
            measured.append((done / (time.process_time() - cpu), done / (time.perf_counter() - wall)))
        per_cpu, per_second = sorted(measured)[len(measured) // 2]
        results.append({"batch": batch, "perCpu": per_cpu, "perSecond": per_second})
print(json.dumps({"version": torch.__version__, "results": results}))
