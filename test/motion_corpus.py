"""A folder of landmark tracks made here, with speakers in every split."""

from pathlib import Path

import numpy as np
from synthetic_heads import moving_heads

from hmgen_ros.data.track_files import TrackFile, write_track_file
from hmgen_ros.data.tracks import Corpus, Segment, Track

#: Speakers by what hmgen_ros.data.tracks makes of them.
SPEAKERS = {"grid_s1": "train", "grid_s26": "validation", "grid_v2s": "test"}


def write_tracks(folder: Path, tracks: int = 3, ticks: int = 90) -> None:
    """Write some tracks of each speaker and their manifest."""
    lines = ["half,group,stem,av_lag_frames,frames,sec,audio,speaker,source,licence"]
    (folder / "grid_tracks").mkdir(parents=True)
    for number, (speaker, split) in enumerate(SPEAKERS.items()):
        # Every tenth clip of the training speaker is held out, so that there must be more of them.
        count = 4 * tracks if split == "train" else tracks
        heads = moving_heads(count, ticks, seed=number).numpy()
        for i, landmarks in enumerate(heads):
            stem = f"{speaker}_{i}"
            valid = np.ones(ticks, np.bool_)
            track = TrackFile(landmarks.astype(np.float32), valid, (640, 480))
            write_track_file(folder / "grid_tracks" / f"{stem}.npz", track)
            lines.append(f"dev,grid,{stem},0,{ticks},{ticks / 25},0,{speaker},made,none")
    (folder / "tracks_manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def pieces(*lengths: int) -> Corpus:
    """One piece of a track of each length, without files."""
    track = Track("made/here", "somebody", "train", Path("none.npz"), None)
    heads = moving_heads(len(lengths), max(lengths), seed=5).numpy()
    return Corpus([Segment(track, 0, head[:n]) for head, n in zip(heads, lengths, strict=True)])
