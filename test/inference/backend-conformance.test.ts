import { OnnxBackend } from "../../src/inference/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { backendConformance } from "./backend-conformance.ts";
import { LinearBackend } from "./linear-backend.ts";

backendConformance("LinearBackend", () => new LinearBackend({ clock: new ManualClock() }));
backendConformance("OnnxBackend on cpu", () => new OnnxBackend({ device: "cpu", maxBatch: 4 }));
