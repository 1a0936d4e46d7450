"""Records what lanes play, sample for sample, in the browser's audio thread: a busy main thread loses nothing."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page

from tests.page.conftest import in_mixer

# The page's policy forbids scripts of other origins than its own, so a page that records has to be opened with
NO_POLICY = {"bypass_csp": True}

# One input a lane; writes down the first channel of each, all at the same moment.
PROCESSOR = """
registerProcessor("recorder", class extends AudioWorkletProcessor {
  constructor({ numberOfInputs, processorOptions: { seconds } }) {
    super();
    this.heard = Array.from({ length: numberOfInputs }, () => new Float32Array(Math.ceil(seconds * sampleRate)));
    this.at = 0;
    const heard = () => this.heard.map((samples) => samples.subarray(0, this.at));
    this.port.onmessage = () => this.port.postMessage([heard(), this.began]);
  }

  process(inputs) {
    this.began ??= currentFrame;
    const now = currentFrame - this.began;
    if (now > this.at + 1024 && now < this.heard[0].length) this.at = now; // what a held-up browser left out is silence
    const room = this.heard[0].length - this.at;
    inputs.forEach(([samples], lane) => samples && this.heard[lane].set(samples.subarray(0, room), this.at));
    this.at += Math.min(128, room);
    return true;
  }
});
"""

# `rampOf`: a buffer whose samples are their own indices. `Recorder`: what it heard of each lane, and from which
# frame of the context on (`began`). `listen` waits by the
# audio clock, `until` for a condition. `stepsOf`: how often each difference between two neighbours occurs.
SCRIPT = """
    const rampOf = (length, sampleRate, numberOfChannels = 2) => {
        const buffer = new AudioBuffer({ length, numberOfChannels, sampleRate });
        for (let channel = 0; channel < numberOfChannels; channel++)
            buffer.getChannelData(channel).forEach((_, at, samples) => { samples[at] = at; });
        return buffer;
    };
    const until = async (condition) => {
        while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    const listen = ({ context }, seconds) => {
        const end = context.currentTime + seconds;
        return until(() => context.currentTime >= end);
    };
    class Recorder {
        static async of(mixer, seconds) {
            const module = new Blob([PROCESSOR], { type: 'text/javascript' });
            await mixer.context.audioWorklet.addModule(URL.createObjectURL(module));
            const options = { numberOfInputs: mixer.stems.length, numberOfOutputs: 0, processorOptions: { seconds } };
            const recorder = new Recorder();
            recorder.node = new AudioWorkletNode(mixer.context, 'recorder', options);
            mixer.stems.forEach((lane, index) => lane.strip.gain.connect(recorder.node, 0, index));
            return recorder;
        }
        async get() {
            const answer = new Promise((resolve) => { this.node.port.onmessage = ({ data }) => resolve(data); });
            this.node.port.postMessage('');
            [this.heard, this.began] = await answer;
            return this.heard;
        }
    }
    const apartOf = ([first, ...others]) => Math.max(...others.map((samples) =>
        samples.reduce((most, value, at) => Math.max(most, Math.abs(value - first[at])), 0)));
    const stepsOf = (samples) => {
        const counts = {};
        samples.forEach((value, at) => {
            const step = value - samples[at - 1];
            if (value && samples[at - 1]) counts[step] = (counts[step] ?? 0) + 1;
        });
        return counts;
    };
"""


def recording(page: Page, script: str, argument: Any = None) -> Any:
    """`in_mixer`, with the names above at hand. The page is opened with NO_POLICY."""
    return in_mixer(page, f"const PROCESSOR = {json.dumps(PROCESSOR)};" + SCRIPT + script, argument)
