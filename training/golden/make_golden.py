"""Makes the golden vectors that the TypeScript feature reference is tested against.

Owns nothing at run time: its output is committed in test/stream/features/golden/. Run it again only when the
feature definition changes:  python -m pip install librosa==0.11.0 && python training/golden/make_golden.py

Everything is computed by librosa and SciPy in float64. All signals are synthetic (a fixed LCG, chirps, a
source-filter voice), rounded to 16 bits and stored with their features, so both sides see the same samples.
"""

import base64
import json
import math
from pathlib import Path

import librosa
import numpy as np
import scipy.fft
import scipy.signal

RATE_HZ = 16_000
OUT = Path(__file__).resolve().parents[2] / "test" / "stream" / "features" / "golden"

DEFAULT = {
    "extractor": "tonetap", "sampleRateHz": RATE_HZ, "frameLength": 400, "hopLength": 160, "fftSize": 512,
    "melBands": 40, "melLowHz": 40, "melHighHz": 7600, "mfcc": 24, "delta": True, "delta2": True,
    "deltaWidth": 9, "logMel": True, "chroma": 12, "logEnergy": True,
}
OTHER = DEFAULT | {
    "frameLength": 700, "hopLength": 200, "fftSize": 1024, "melBands": 26, "melLowHz": 0, "melHighHz": 8000,
    "mfcc": 13, "deltaWidth": 5,
}


def noise(count: int, seed: int) -> np.ndarray:
    """Uniform in [-1, 1) from a 32-bit LCG (Numerical Recipes)."""
    out = np.empty(count)
    for i in range(count):
        seed = (1664525 * seed + 1013904223) & 0xFFFFFFFF
        out[i] = seed / 2**31 - 1
    return out


def chirp(seconds: float) -> np.ndarray:
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    sweep = np.sin(2 * math.pi * (80 * t + (7000 - 80) * t**2 / (2 * seconds)))
    return 0.4 * sweep + 0.02 * noise(len(t), 1)


def vowels(seconds: float) -> np.ndarray:
    """A voice: a gliding pulse train through the formants of /a/, then /i/, then /u/."""
    count = int(seconds * RATE_HZ)
    pitch_hz = np.linspace(110, 190, count)
    phase = np.cumsum(pitch_hz) / RATE_HZ
    pulses = np.diff(np.floor(phase), prepend=0.0) + 0.003 * noise(count, 2)
    formants = [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240)]
    out = np.zeros(count)
    for i, part in enumerate(np.array_split(np.arange(count), 3)):
        x = pulses[part]
        for hz in formants[i]:
            r = math.exp(-math.pi * 90 / RATE_HZ)
            a = [1, -2 * r * math.cos(2 * math.pi * hz / RATE_HZ), r * r]
            x = scipy.signal.lfilter([1 - r], a, x)
        out[part] = x
    return 0.5 * out / np.abs(out).max()


def speech(seconds: float) -> np.ndarray:
    """Speech-like: syllables of voice, hiss for fricatives, and exact digital silence between them."""
    voice = vowels(seconds)
    t = np.arange(len(voice)) / RATE_HZ
    syllable = np.clip(np.sin(2 * math.pi * 3.3 * t), 0, None) ** 0.5
    hiss = np.diff(noise(len(t) + 1, 3)) * np.clip(-np.sin(2 * math.pi * 3.3 * t) - 0.6, 0, None)
    return voice * syllable + 0.3 * hiss


def features(y: np.ndarray, spec: dict) -> dict[str, np.ndarray]:
    """Features [channels, frames] of every frame that lies inside the signal."""
    length, hop, fft = spec["frameLength"], spec["hopLength"], spec["fftSize"]
    # Frame f of ours covers samples [f*hop, f*hop + length). librosa.stft(center=False) centres the window in
    # the FFT's samples [f*hop, f*hop + fft): so many zeros in front line the two up.
    left = (fft - length) // 2
    padded = np.concatenate([np.zeros(left), y, np.zeros(fft - length - left)])
    stft = librosa.stft(padded, n_fft=fft, hop_length=hop, win_length=length, window="hann", center=False,
                        dtype=np.complex128)
    power = np.abs(stft) ** 2
    mel_bank = librosa.filters.mel(sr=RATE_HZ, n_fft=fft, n_mels=spec["melBands"], fmin=spec["melLowHz"],
                                   fmax=spec["melHighHz"], dtype=np.float64)
    mel = librosa.power_to_db(mel_bank @ power, ref=1.0, amin=1e-10, top_db=None)
    mfcc = scipy.fft.dct(mel, axis=0, type=2, norm="ortho")[: spec["mfcc"]]
    width = spec["deltaWidth"]
    chroma_bank = librosa.filters.chroma(sr=RATE_HZ, n_fft=fft, tuning=0.0, dtype=np.float64)
    frames = librosa.util.frame(y, frame_length=length, hop_length=hop)
    return {
        "mfcc": mfcc,
        "delta": librosa.feature.delta(mfcc, width=width, order=1, mode="nearest"),
        "delta2": librosa.feature.delta(mfcc, width=width, order=2, mode="nearest"),
        "mel": mel,
        "chroma": librosa.util.normalize(chroma_bank @ power, norm=np.inf, axis=0),
        "energy": librosa.power_to_db((frames**2).mean(axis=0), ref=1.0, amin=1e-10, top_db=None)[None, :],
    }


def pack(x: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(x, dtype=kind).tobytes()).decode()


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    cases = [
        ("chirp", chirp(0.5), DEFAULT),
        ("vowels", vowels(0.5), DEFAULT),
        ("speech", speech(1.0), DEFAULT),
        ("other-spec", speech(0.4), OTHER),
    ]
    for name, signal, spec in cases:
        pcm = np.round(np.clip(signal, -1, 1) * 32767).astype("<i2")
        y = pcm.astype(np.float64) / 32768
        rows = features(y, spec)
        frames = rows["mfcc"].shape[1]
        golden = {
            "made": f"librosa {librosa.__version__}, float64; training/golden/make_golden.py",
            "layout": "base64, little-endian: pcm int16 / 32768; features float32 [channels, frames]",
            "spec": spec,
            "frames": frames,
            "pcm": pack(pcm, "<i2"),
            "features": {key: pack(value, "<f4") for key, value in rows.items()},
        }
        assert all(np.isfinite(value).all() and value.shape[1] == frames for value in rows.values())
        path = OUT / f"{name}.json"
        path.write_text(json.dumps(golden, indent=1) + "\n")
        print(f"{path.name}: {frames} frames, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
