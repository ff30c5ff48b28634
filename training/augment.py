"""Rooms, noise and other throats: what a clip's features would be elsewhere, worked out from its log-mel bands.

For training only. Bands, chroma and energy are changed as powers; MFCC and deltas follow from them (core/feature-spec.ts:
an orthonormal DCT-II of the bands, regression over nine frames).
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from data import Cepstrum, band_edges, channel_names, mel_of

DB = np.log(10) / 10
FLOOR = 1e-10
FRAME_S = 0.01
# What a frequency is multiplied by, from a large throat to a small one (VTLP, Jaitly and Hinton 2013).
WARPS = np.geomspace(0.84, 1.19, 36)


def warp_matrix(factor: float, spec: dict) -> np.ndarray:
    """[bands, bands]: bands of a voice whose every frequency is `factor` times what it was. The topmost is held."""
    bands = spec["melBands"]
    edges = band_edges(spec)
    low, step = mel_of(edges[1]), mel_of(edges[1]) - mel_of(edges[0])
    at = np.clip((mel_of(edges[1:-1] / factor) - low) / step, 0, bands - 1)
    low = np.minimum(at.astype(int), bands - 2)
    matrix = np.zeros((bands, bands), np.float32)
    matrix[np.arange(bands), low] = 1 - (at - low)
    matrix[np.arange(bands), low + 1] = at - low
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
    """Powers of bands, energy and chroma [N, bands + 13], repeated; their energy is 0 dB in the mean."""
    snr_db: float


class Augmenter:
    def __init__(self, channels: list[str], spec: dict):
        if channels != channel_names("mdDlce", spec):
            raise SystemExit("--surroundings needs --channels mdDlce")
        self.cepstrum = Cepstrum(spec)
        self.bands = spec["melBands"]
        mel = 3 * spec["mfcc"]
        self.mel, self.chroma, self.energy = slice(mel, mel + self.bands), slice(-13, -1), slice(-1, None)
        self.warps = [(warp_matrix(f, spec).T.copy(), roll_matrix(f).T.copy()) for f in WARPS]

    def powers(self, mel: np.ndarray, chroma: np.ndarray, energy: np.ndarray) -> np.ndarray:
        """Powers of bands, energy and chroma [T, bands + 13]."""
        out = np.empty((len(mel), self.bands + 13), np.float32)
        np.exp(np.concatenate([mel, energy], 1) * DB, out=out[:, : self.bands + 1])
        out[:, self.bands + 1 :] = chroma * (out[:, self.bands] / (chroma.sum(1) + 1e-6))[:, None]
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
                other = other.astype(np.float32)
                noise = self.powers(other[:, self.mel], other[:, self.chroma], other[:, self.energy])
                noise /= noise[:, self.bands].mean() + FLOOR
            else:
                bands = self.bands
                # White to brown, with a soft ripple; of a frame each band is some bins, their mean power 4 of its mean square.
                mel = random.uniform(-0.6, 0.1) * np.arange(bands) + 3 * np.cos(
                    np.pi * random.integers(1, 7) * (np.arange(bands) + 0.5) / bands + random.uniform(0, 6)
                )
                power = np.exp(mel * DB)
                noise = np.empty((64, bands + 13), np.float32)
                noise[:, :bands] = power * random.gamma(4, 1 / 4, (64, bands)) / power.mean() * 4
                noise[:, bands] = 1
                noise[:, bands + 1 :] = random.gamma(4, 1 / 4, (64, 12)) / 12
        return Surroundings(warp, decay, wet, noise, random.uniform(3, 25))

    def apply(self, there: Surroundings, x: np.ndarray, level: float) -> np.ndarray:
        """Features [T, C] as they would be there. `level`: mean power of the voice's speech."""
        x = x.astype(np.float32)
        mel, chroma, energy = x[:, self.mel], x[:, self.chroma], x[:, self.energy]
        if there.warp is not None:
            bands, roll = self.warps[there.warp]
            mel, chroma = mel @ bands, chroma @ roll
            chroma = chroma / (chroma.max(1, keepdims=True) + 1e-6)
        if there.decay > 0 or there.noise is not None:
            y = self.powers(mel, chroma, energy)
            if there.decay > 0:
                gain = (1 - there.decay) * there.wet
                # What a frame leaves behind begins with the next.
                y[1:] += lfilter([gain], [1, -there.decay], y[:-1], axis=0).astype(np.float32)
            if there.noise is not None:
                rows = np.arange(len(y)) % len(there.noise)
                y += there.noise[rows] * np.float32(level * 10 ** (-there.snr_db / 10))
            mel = np.log(np.maximum(y[:, : self.bands], FLOOR)) / DB
            energy = np.log(np.maximum(y[:, self.bands : self.bands + 1], FLOOR)) / DB
            chroma = y[:, self.bands + 1 :]
            chroma = chroma / (chroma.max(1, keepdims=True) + 1e-12)
        mfcc = self.cepstrum.of(mel)
        return np.concatenate([mfcc, *deltas(mfcc), mel, chroma, energy], 1)
