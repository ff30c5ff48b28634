"""Publishes a WAV file over WHIP with GStreamer's webrtcbin, in real time: whip-sender.py URL FILE"""
import sys
import urllib.parse
import urllib.request
import wave

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

Gst.init(None)
endpoint, path = sys.argv[1:]
loop = GLib.MainLoop()
# identity sync: a file is read at the pace of its audio. Words lie behind 3 s of silence, while DTLS comes up.
pipeline = Gst.parse_launch(
    "webrtcbin name=peer bundle-policy=max-bundle "
    "filesrc name=file ! wavparse ! audioconvert ! audioresample ! identity sync=true ! queue ! "
    "opusenc bitrate=32000 audio-type=voice ! rtpopuspay pt=111 ! "
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000 ! peer."
)
pipeline.get_by_name("file").set_property("location", path)
peer = pipeline.get_by_name("peer")
session = None


def request(method, url, body=None):
    headers = {"Content-Type": "application/sdp"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method)) as response:
        return response.headers.get("Location"), response.read().decode()


def on_offer(promise):
    # The description lives as long as the reply does.
    reply = promise.get_reply()
    offer = reply.get_value("offer")
    peer.emit("set-local-description", offer, Gst.Promise.new())


def on_negotiation_needed(_):
    peer.emit("get-transceiver", 0).set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
    peer.emit("create-offer", None, Gst.Promise.new_with_change_func(on_offer))


def on_gathering(*_):
    if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
        GLib.idle_add(publish)


def publish():
    global session
    offer = peer.get_property("local-description").sdp.as_text()
    location, answer = request("POST", endpoint, offer.encode())
    session = urllib.parse.urljoin(endpoint, location)
    _, message = GstSdp.SDPMessage.new_from_text(answer)
    description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
    peer.emit("set-remote-description", description, Gst.Promise.new())
    return False


def on_message(_, message):
    if message.type == Gst.MessageType.ERROR:
        print(message.parse_error(), file=sys.stderr)
    if message.type in (Gst.MessageType.EOS, Gst.MessageType.ERROR):
        loop.quit()


def on_state(*_):
    print(peer.get_property("connection-state").value_nick, flush=True)


peer.connect("on-negotiation-needed", on_negotiation_needed)
peer.connect("notify::ice-gathering-state", on_gathering)
peer.connect("notify::connection-state", on_state)
bus = pipeline.get_bus()
bus.add_signal_watch()
bus.connect("message", on_message)
pipeline.set_state(Gst.State.PLAYING)
# webrtcbin passes no end of stream on: the file's length tells when it is over.
with wave.open(path) as audio:
    seconds = audio.getnframes() / audio.getframerate()
GLib.timeout_add(int(seconds * 1000) + 1500, loop.quit)
loop.run()
if session is not None:
    request("DELETE", session)
pipeline.set_state(Gst.State.NULL)
