"""Files as sources: true stamps, merged sound, damage survived, real-time pace."""

import itertools
import struct
import threading
import time
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmgen_ros.streams.media import MediaError, open_media, ready_ns
from hmgen_ros.streams.pacing import Pacer, pace
from hmgen_ros.streams.prefetch import Prefetch
from hmgen_ros.types import TICK_NS, AudioChunk, Frame

MS = 1_000_000
BASE = 1_700_000_000_000_000_000
SIZE = (96, 64)


def picture(brightness):
    image = np.full((SIZE[1], SIZE[0], 3), brightness, np.uint8)
    image[:16, :24] = (255, 0, 0)  # a blue mark at the top left tells which way is up
    return image


def tone(rate, seconds, click_s=None):
    wave = 0.2 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    if click_s is not None:
        wave[:] = 0
        wave[int(click_s * rate)] = 0.9
    return wave.astype(np.float32)


def write_media(path, *, times_ms=None, codec="mpeg4", sound=None, rate=48000, layout="mono", title=""):
    """A file with frames at ``times_ms`` (bright where the time is a multiple of 400) and sound."""
    with av.open(str(path), "w") as out:
        if times_ms is not None:
            video = out.add_stream(codec, rate=25)
            video.width, video.height = SIZE
            video.pix_fmt = "yuv420p"
            video.time_base = video.codec_context.time_base = Fraction(1, 1000)
            video.codec_context.gop_size = 5
        if sound is not None:
            audio = out.add_stream("aac", rate=rate, layout=layout)
        out.metadata["title"] = title
        for at in times_ms or []:
            frame = av.VideoFrame.from_ndarray(picture(230 if at % 400 == 0 else 60), format="bgr24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            out.mux(video.encode(frame))
        if times_ms is not None:
            out.mux(video.encode(None))
        if sound is not None:
            channels = av.AudioLayout(layout).nb_channels
            for i in range(0, len(sound), 1024):
                block = np.repeat(sound[i : i + 1024], channels)[None]
                frame = av.AudioFrame.from_ndarray(block, "flt", layout)
                frame.sample_rate, frame.pts, frame.time_base = rate, i, Fraction(1, rate)
                out.mux(audio.encode(frame))
            out.mux(audio.encode(None))
    return path


STEADY = list(range(0, 2000, 40))


def split(source):
    items = list(source)
    return [i for i in items if isinstance(i, Frame)], [i for i in items if isinstance(i, AudioChunk)]


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize(("rate", "layout"), [(48000, "stereo"), (44100, "7.1"), (16000, "mono")])
def test_video_and_sound_come_with_true_stamps(tmp_path, codec, rate, layout):
    path = write_media(
        tmp_path / "a.mp4", times_ms=STEADY, codec=codec, sound=tone(rate, 2.0, 0.8), rate=rate, layout=layout
    )
    with open_media(path, base_ns=BASE, frame_id="eye") as source:
        assert (source.has_audio, source.has_video, source.size, source.live) == (True, True, SIZE, False)
        assert source.fps == pytest.approx(25, abs=0.1)
        assert source.duration_s == pytest.approx(2.0, abs=0.1)
        frames, chunks = split(source)
        assert source.counts.values == {}
    assert [f.stamp_ns - BASE for f in frames] == [t * MS for t in STEADY]
    assert {f.frame_id for f in frames} == {"eye"}
    flash = next(f for f in frames[1:] if f.image[40:, 40:].mean() > 150)
    assert flash.stamp_ns == BASE + 400 * MS
    assert {c.sample_rate for c in chunks} == {16000}
    assert {len(c.samples) for c in chunks[:-1]} == {640}
    assert all(abs(b.stamp_ns - a.end_ns) < 0.1 * MS for a, b in itertools.pairwise(chunks))
    loudest = max(chunks, key=lambda c: np.abs(c.samples).max())
    click_ns = loudest.stamp_ns + int(np.abs(loudest.samples).argmax()) * 10**9 // 16000
    assert abs(click_ns - BASE - 800 * MS) < 2 * MS


def test_sound_that_ended_comes_before_the_frame(tmp_path):
    path = write_media(tmp_path / "a.mp4", times_ms=STEADY, sound=tone(48000, 2.0))
    with open_media(path, base_ns=BASE) as source:
        items = list(source)
    order = [ready_ns(i) for i in items]
    assert order == sorted(order)
    heard_ns = BASE
    for item in items:
        if isinstance(item, Frame):
            assert item.stamp_ns - heard_ns < 41 * MS
        else:
            heard_ns = item.end_ns


def test_a_variable_frame_rate_is_kept(tmp_path):
    times = list(itertools.accumulate([0, 33, 70, 20, 150, 40, 41, 90, 33, 33, 400, 20]))
    path = write_media(tmp_path / "a.mkv", times_ms=times)
    with open_media(path, base_ns=BASE) as source:
        assert not source.has_audio
        frames, chunks = split(source)
    assert [(f.stamp_ns - BASE) // MS for f in frames] == times
    assert chunks == []


@pytest.mark.parametrize(
    ("name", "acodec", "rate"), [("a.wav", "pcm_s16le", 22050), ("a.flac", "flac", 96000)]
)
def test_sound_alone_plays(tmp_path, name, acodec, rate):
    path = tmp_path / name
    wave = (tone(rate, 1.01) * 32767).astype(np.int16)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(acodec, rate=rate, layout="mono")
        stream.format = "s16"
        for i in range(0, len(wave), 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, i : i + 1024], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, i, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with open_media(path, base_ns=BASE) as source:
        assert (source.has_audio, source.has_video, source.size, source.fps) == (True, False, None, None)
        frames, chunks = split(source)
    assert frames == []
    heard = np.concatenate([c.samples for c in chunks])
    assert chunks[0].stamp_ns == BASE
    assert len(heard) == pytest.approx(16160, abs=2)
    expected = tone(16000, 1.01)[: len(heard)]
    assert np.abs(heard[200:16000] - expected[200:16000]).max() < 1e-3


def test_sound_that_starts_later_keeps_its_offset(tmp_path):
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=25)
        video.width, video.height = SIZE
        audio = out.add_stream("pcm_s16le", rate=16000, layout="mono")
        for i in range(25):
            frame = av.VideoFrame.from_ndarray(picture(90), format="bgr24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(np.full((1, 8000), 5000, np.int16), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, 4800, Fraction(1, 16000)
        out.mux(audio.encode(frame))
        out.mux(audio.encode(None))
    with open_media(path, base_ns=BASE) as source:
        frames, chunks = split(source)
    assert frames[0].stamp_ns == BASE
    assert abs(chunks[0].stamp_ns - BASE - 300 * MS) <= 2 * MS
    assert sum(len(c.samples) for c in chunks) == 8000


def test_a_loop_goes_on_in_time(tmp_path):
    path = write_media(
        tmp_path / "a.mp4", times_ms=list(range(0, 400, 40)), sound=tone(16000, 0.4), rate=16000
    )
    with open_media(path, base_ns=BASE, loop=True) as source:
        items = list(itertools.islice(source, 70))
    frames, chunks = split(items)
    assert len(frames) > 25
    gaps = [b.stamp_ns - a.stamp_ns for a, b in itertools.pairwise(frames)]
    assert set(gaps[:9]) == {40 * MS}
    assert all(40 * MS <= gap <= 110 * MS for gap in gaps)
    assert all(a.end_ns <= b.stamp_ns + MS for a, b in itertools.pairwise(chunks))


def test_a_truncated_file_plays_as_far_as_it_goes(tmp_path):
    path = write_media(tmp_path / "a.mkv", times_ms=STEADY, codec="libx264", sound=tone(48000, 2.0))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with open_media(path, base_ns=BASE) as source:
        frames, chunks = split(source)
    assert 10 <= len(frames) < len(STEADY)
    assert chunks
    assert [f.stamp_ns - BASE for f in frames[:10]] == [t * MS for t in STEADY[:10]]


def test_damage_in_the_middle_is_counted_and_passed_over(tmp_path):
    path = write_media(tmp_path / "a.mkv", times_ms=STEADY, sound=tone(48000, 2.0))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle - 1500 : middle + 1500] = np.random.default_rng(1).bytes(3000)
    path.write_bytes(bytes(data))
    with open_media(path, base_ns=BASE) as source:
        frames, _ = split(source)
        assert source.counts["decode_error"] > 0
    assert 20 <= len(frames) <= len(STEADY)
    assert all(a.stamp_ns < b.stamp_ns for a, b in itertools.pairwise(frames))


def test_a_leap_beyond_the_end_is_damage(tmp_path):
    path = write_media(tmp_path / "a.mkv", times_ms=[*STEADY, 3_600_000])
    data = bytearray(path.read_bytes())
    duration = data.index(b"\x44\x89\x88") + 3  # Matroska's Duration: eight bytes of a float, in ms
    data[duration : duration + 8] = struct.pack(">d", 2000.0)
    path.write_bytes(bytes(data))
    with open_media(path, base_ns=BASE) as source:
        frames, _ = split(source)
        assert source.counts.values == {"frame_out_of_order": 1}
    assert [f.stamp_ns - BASE for f in frames] == [t * MS for t in STEADY]


def test_titles_in_an_old_encoding_do_no_harm(tmp_path):
    path = write_media(tmp_path / "a.mkv", times_ms=STEADY[:5], title="Umlaute: XX")
    path.write_bytes(path.read_bytes().replace(b"Umlaute: XX", b"Umlaute: \xe4\xf6"))
    with open_media(path) as source:
        assert len(split(source)[0]) == 5


def test_a_phone_held_upright_gives_upright_pictures(tmp_path):
    path = write_media(tmp_path / "a.mp4", times_ms=STEADY[:5])
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    # A quarter turn clockwise in the track header's 3x3 matrix of fixed-point numbers.
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = quarter
    path.write_bytes(bytes(data))
    with open_media(path) as source:
        assert source.size == (SIZE[1], SIZE[0])
        frame = next(source)
    assert frame.image.shape == (SIZE[0], SIZE[1], 3)
    assert frame.image.flags.c_contiguous
    blue = frame.image[..., 0].astype(int) - frame.image[..., 2]
    assert blue[:20, -12:].mean() > 150
    assert blue[-20:, :12].mean() < 50


def test_cover_art_is_not_a_video(tmp_path):
    path = tmp_path / "song.mp3"
    wave = tone(44100, 0.5)
    with av.open(str(path), "w") as out:
        audio = out.add_stream("libmp3lame", rate=44100, layout="mono")
        art = out.add_stream("mjpeg", rate=25)
        art.width, art.height, art.pix_fmt = 96, 64, "yuvj420p"
        art.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(picture(90), format="bgr24").reformat(format="yuvj420p")
        frame.pts = 0
        out.mux(art.encode(frame))
        out.mux(art.encode(None))
        for i in range(0, len(wave), 1152):
            sound = av.AudioFrame.from_ndarray(wave[None, i : i + 1152], "fltp", "mono")
            sound.sample_rate, sound.pts, sound.time_base = 44100, i, Fraction(1, 44100)
            out.mux(audio.encode(sound))
        out.mux(audio.encode(None))
    with open_media(path) as source:
        assert (source.has_audio, source.has_video) == (True, False)
        assert split(source)[0] == []


def bad_files(folder):
    (folder / "empty.mp4").touch()
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "notes.txt").write_text("these are only words\n" * 200)
    whole = write_media(folder / "whole.mp4", times_ms=STEADY).read_bytes()
    (folder / "headless.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "folder.mp4").mkdir()
    (folder / "no_frames.avi").write_bytes(
        write_media(folder / "v.avi", times_ms=STEADY).read_bytes().split(b"movi")[0] + b"movi"
    )
    return [
        "empty.mp4",
        "noise.mp4",
        "notes.txt",
        "headless.mp4",
        "folder.mp4",
        "no_frames.avi",
        "missing.mp4",
    ]


def test_useless_files_are_named_in_one_line(tmp_path):
    for name in bad_files(tmp_path):
        with pytest.raises(MediaError) as caught:
            open_media(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_stamps_must_be_positive(tmp_path):
    path = write_media(tmp_path / "a.mp4", times_ms=STEADY[:3])
    with pytest.raises(ValueError, match="base_ns"):
        open_media(path, base_ns=0)


def test_closing_early_ends_the_thread_and_the_iteration(tmp_path):
    path = write_media(tmp_path / "close_me.mp4", times_ms=STEADY)
    source = open_media(path, loop=True)
    next(source)
    source.close()
    source.close()
    assert list(source) == []
    assert not any("close_me" in thread.name for thread in threading.enumerate())


def test_decoding_runs_ahead_by_a_bounded_number_of_items():
    made = []

    def numbers():
        for i in range(1000):
            made.append(i)
            yield i

    ahead = Prefetch(numbers(), 8, "numbers")
    assert next(ahead) == 0
    deadline = time.monotonic() + 60
    while len(made) < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert 8 <= len(made) <= 10
    ahead.close()


def test_an_error_ahead_reaches_the_consumer_in_its_turn():
    def breaks():
        yield 1
        raise MediaError("gone")

    ahead = Prefetch(breaks(), 8, "breaks")
    assert next(ahead) == 1
    with pytest.raises(MediaError, match="gone"):
        next(ahead)
    with pytest.raises(StopIteration):
        next(ahead)


@given(due=st.integers(0, 10**12), now=st.integers(0, 10**12), droppable=st.booleans())
def test_pace_never_sleeps_backwards_and_never_drops_in_time(due, now, droppable):
    decision = pace(due, now, TICK_NS, droppable)
    assert decision.wait_ns >= 0
    assert decision.late_ns - decision.wait_ns == now - due
    assert min(decision.wait_ns, decision.late_ns) == 0
    assert decision.drop == (droppable and now - due > TICK_NS)


@pytest.mark.parametrize("work_ms", [10, 39, 60, 200])
def test_a_slow_consumer_loses_frames_but_never_falls_behind(work_ms):
    """The decisions of a whole minute, in simulated time."""
    now_ns, kept = 0, 0
    for i in range(1500):
        decision = pace(i * TICK_NS, now_ns, TICK_NS, droppable=True)
        now_ns += decision.wait_ns
        assert decision.drop or decision.late_ns <= TICK_NS
        if not decision.drop:
            kept += 1
            now_ns += work_ms * MS
    assert kept == 1500 if work_ms < 40 else kept == pytest.approx(60_000 / work_ms, rel=0.05)


def play_with_a_pause(path):
    """Play a second, with a pause after ten frames: how many were dropped and the seconds it took."""
    pacer = Pacer()
    with open_media(path) as source:
        start, late = time.monotonic(), []
        frames, chunks = 0, 0
        for item in pacer.play(source):
            late.append(time.monotonic() - start - (ready_ns(item) - 10**9) / 1e9)
            frames += isinstance(item, Frame)
            chunks += isinstance(item, AudioChunk)
            if frames == 10 and isinstance(item, Frame):
                time.sleep(0.2)
    took = time.monotonic() - start
    assert min(late) > -0.005
    assert chunks >= 25
    assert frames == 25 - pacer.counts["late_dropped"]
    return pacer.counts["late_dropped"], took


def test_files_play_in_real_time_with_sound_never_dropped(tmp_path):
    path = write_media(tmp_path / "a.mp4", times_ms=STEADY[:25], sound=tone(16000, 1.0), rate=16000)
    # A busy machine makes pauses of its own; one try without them is enough.
    tries = (play_with_a_pause(path) for _ in range(30))
    assert any(2 <= dropped <= 6 and took == pytest.approx(1.0, abs=0.25) for dropped, took in tries)


def test_a_stopped_pacer_wakes_at_once():
    pacer = Pacer()
    items = [AudioChunk(i * 10**10, np.zeros(640, np.float32), 16000) for i in range(1, 4)]
    threading.Timer(0.1, pacer.stop).start()
    start = time.monotonic()
    assert len(list(pacer.play(items))) == 1
    assert time.monotonic() - start < 9  # the next one is due after ten
