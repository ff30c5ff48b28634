"""Rooms, noise and other throats: what a clip's features would be elsewhere, worked out from its log-mel bands.

For training only. Bands, chroma and energy are changed as powers; MFCC and deltas follow from them (core/feature-spec.ts:
an orthonormal DCT-II of all bands or the lowest, regression over nine frames).
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from data import cosines

BANDS = 40
DB = np.log(10) / 10
FLOOR = 1e-10
FRAME_S = 0.01
# What a frequency is multiplied by, from a large throat to a small one (VTLP, Jaitly and Hinton 2013).
WARPS = np.geomspace(0.84, 1.19, 36)
LOW_HZ, HIGH_HZ = 40.0, 7600.0


def mel_of(hz: np.ndarray) -> np.ndarray:
    return 2595 * np.log10(1 + hz / 700)


def warp_matrix(factor: float) -> np.ndarray:
    """[BANDS, BANDS]: bands of a voice whose every frequency is `factor` times what it was. The topmost is held."""
    edges = np.linspace(mel_of(np.array(LOW_HZ)), mel_of(np.array(HIGH_HZ)), BANDS + 2)
    centres = 700 * (10 ** (edges[1:-1] / 2595) - 1)
    at = np.clip((mel_of(centres / factor) - edges[1]) / (edges[1] - edges[0]), 0, BANDS - 1)
    low = np.minimum(at.astype(int), BANDS - 2)
    matrix = np.zeros((BANDS, BANDS), np.float32)
    matrix[np.arange(BANDS), low] = 1 - (at - low)
    matrix[np.arange(BANDS), low + 1] = at - low
    return matrix


def roll_matrix(factor: float) -> np.ndarray:
    """[12, 12]: the chroma of that voice."""
    shift = 12 * np.log2(factor)
    whole = int(np.floor(shift))
    part = shift - whole
    return ((1 - part) * np.roll(np.eye(12), whole, 0) + part * np.roll(np.eye(12), whole + 1, 0)).astype(np.float32)


def deltas(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and curvature of a parabola through nine frames of x [T, C], the ends held."""
    padded = np.pad(x, ((4, 4), (0, 0)), "edge")
    at = [padded[n : n + len(x)] for n in range(9)]
    slope = sum(n * (at[4 + n] - at[4 - n]) for n in range(1, 5)) / 60
    curve = sum(w * (at[4 + n] + at[4 - n]) for n, w in ((1, -17), (2, -8), (3, 7), (4, 28))) - 20 * x
    return slope, curve / 462


@dataclass
class Surroundings:
    """One drawn room, noise and throat."""

    warp: int | None
    decay: float
    """Share of the power that is left after a frame; 0: no reverb."""
    wet: float
    """Power of the reverb, as a share of the direct sound's."""
    noise: np.ndarray | None
    """Powers of bands, energy and chroma [N, 53], repeated; their energy is 0 dB in the mean."""
    snr_db: float


class Augmenter:
    def __init__(self, channels: list[str], mfcc_bands: int):
        wanted = [f"mfcc{i}" for i in range(24)] + [f"delta{i}" for i in range(24)] + [f"delta2_{i}" for i in range(24)]
        wanted += [f"mel{i}" for i in range(BANDS)] + [f"chroma{i}" for i in range(12)] + ["energy"]
        if channels != wanted:
            raise SystemExit("--surroundings needs --channels mdDlce")
        self.cosines = cosines(mfcc_bands).astype(np.float32)
        self.warps = [(warp_matrix(f).T.copy(), roll_matrix(f).T.copy()) for f in WARPS]

    def powers(self, x: np.ndarray) -> np.ndarray:
        """Features [T, 125] → powers of bands, energy and chroma [T, 53]."""
        out = np.empty((len(x), BANDS + 13), np.float32)
        out[:, :BANDS] = x[:, 72:112]
        out[:, BANDS] = x[:, 124]
        np.exp(out[:, : BANDS + 1] * DB, out=out[:, : BANDS + 1])
        chroma = x[:, 112:124]
        out[:, BANDS + 1 :] = chroma * (out[:, BANDS] / (chroma.sum(1) + 1e-6))[:, None]
        return out

    def draw(self, random: np.random.Generator, other: np.ndarray) -> Surroundings:
        """`other`: features of anybody's recording, for noise that is speech."""
        warp = int(random.integers(len(self.warps))) if random.random() < 0.7 else None
        decay = wet = 0.0
        if random.random() < 0.35:
            decay = 10 ** (-6 * FRAME_S / random.uniform(0.15, 0.8))
            wet = 10 ** (random.uniform(-14, 2) / 10)
        noise = None
        if random.random() < 0.45:
            if random.random() < 0.3:
                noise = self.powers(other)
                noise /= noise[:, BANDS].mean() + FLOOR
            else:
                # White to brown, with a soft ripple; of a frame each band is some bins, their mean power 4 of its mean square.
                mel = random.uniform(-0.6, 0.1) * np.arange(BANDS) + 3 * np.cos(
                    np.pi * random.integers(1, 7) * (np.arange(BANDS) + 0.5) / BANDS + random.uniform(0, 6)
                )
                power = np.exp(mel * DB)
                noise = np.empty((64, BANDS + 13), np.float32)
                noise[:, :BANDS] = power * random.gamma(4, 1 / 4, (64, BANDS)) / power.mean() * 4
                noise[:, BANDS] = 1
                noise[:, BANDS + 1 :] = random.gamma(4, 1 / 4, (64, 12)) / 12
        return Surroundings(warp, decay, wet, noise, random.uniform(3, 25))

    def apply(self, there: Surroundings, x: np.ndarray, level: float) -> np.ndarray:
        """Features [T, 125] as they would be there. `level`: mean power of the voice's speech."""
        x = x.astype(np.float32)
        mel, chroma, energy = x[:, 72:112], x[:, 112:124], x[:, 124:]
        if there.warp is not None:
            bands, roll = self.warps[there.warp]
            mel, chroma = mel @ bands, chroma @ roll
            chroma = chroma / (chroma.max(1, keepdims=True) + 1e-6)
        if there.decay > 0 or there.noise is not None:
            y = self.powers(np.concatenate([x[:, :72], mel, chroma, energy], 1))
            if there.decay > 0:
                gain = (1 - there.decay) * there.wet
                # What a frame leaves behind begins with the next.
                y[1:] += lfilter([gain], [1, -there.decay], y[:-1], axis=0).astype(np.float32)
            if there.noise is not None:
                rows = np.arange(len(y)) % len(there.noise)
                y += there.noise[rows] * np.float32(level * 10 ** (-there.snr_db / 10))
            mel = np.log(np.maximum(y[:, :BANDS], FLOOR)) / DB
            energy = np.log(np.maximum(y[:, BANDS : BANDS + 1], FLOOR)) / DB
            chroma = y[:, BANDS + 1 :]
            chroma = chroma / (chroma.max(1, keepdims=True) + 1e-12)
        mfcc = mel[:, : len(self.cosines)] @ self.cosines
        return np.concatenate([mfcc, *deltas(mfcc), mel, chroma, energy], 1)
