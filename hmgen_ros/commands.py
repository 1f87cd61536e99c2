"""The subcommands of ``hmgen``: what does each, one line of help, and examples."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Library:
    """A function of a module of ours that takes the options as one dataclass.

    Attributes:
        module: below ``hmgen_ros``; imported once the subcommand is known.
        options: name of the dataclass in it.
        work: name of the function in it.
    """

    module: str
    options: str
    work: str


@dataclass(frozen=True)
class Command:
    """One subcommand: what does it (None: a function of the command line itself), help, and examples."""

    library: Library | None
    help: str
    examples: str = ""


COMMANDS = {
    "run": Command(
        None,
        "Play a source through all nodes: perceive, predict, publish, show.",
        "examples: hmgen run | hmgen run --source talk.mp4 --record out/ | hmgen run --source webcam:0 | "
        "hmgen run --headless --fast --json run.json",
    ),
    "train social": Command(
        Library("training.train_social", "SocialTrainConfig", "train"),
        "Train a system of the thesis' chapter 3 (SocialInteractionGAN) on the AMI meetings.",
        "examples: hmgen train social --system local_rnn --seed 1 | hmgen train social --system simple_rnn "
        "--lambda-reco 1e-3 --target 80 | hmgen train social --system likelihood --ship likelihood. "
        "The same command goes on with a run that was stopped. Curves: tensorboard --logdir out/social",
    ),
    "train attention": Command(
        Library("training.train_group_attention", "GroupAttentionTrainConfig", "train"),
        "Train the group-attention action predictor on the AMI meetings.",
        "example: hmgen train attention --seed 1 --ship group_attention",
    ),
    "train attention-refined": Command(
        Library("training.train_group_refined", "GroupRefineConfig", "train"),
        "Refine a trained group-attention predictor with a discriminator of whole futures.",
        "example: hmgen train attention --seed 1 && hmgen train attention-refined --seed 1",
    ),
    "train semi-markov": Command(
        Library("training.train_semi_markov", "TrainConfig", "train"),
        "Fit the semi-Markov action predictor on the AMI meetings.",
        "example: hmgen train semi-markov --data ../shared/data",
    ),
    "train persistence": Command(
        Library("training.train_persistence", "PersistenceTrainConfig", "train"),
        "Count how long people go on with what they do, for the simplest reference.",
        "example: hmgen train persistence",
    ),
    "train suhmo": Command(
        Library("training.train_suhmo", "SuhmoTrainConfig", "train"),
        "Train a system of the thesis' chapter 4 (SUHMo, its baselines and ablations), or ours, on landmark "
        "tracks.",
        "examples: hmgen train suhmo --data tracks --system suhmo_rnn --seed 1 | hmgen train suhmo --system "
        "noise_driven --iterations 2500 --averaging 0.995 --by-duration --ship noise_driven | hmgen train "
        "suhmo --system suhmo_transformer --size thesis --iterations 60000. The same command goes on with a "
        "run that was stopped. Curves: tensorboard --logdir out/suhmo",
    ),
    "train syncer": Command(
        Library("training.train_syncer", "SyncerTrainConfig", "train"),
        "Train a pyramid of syncers, which tell how well a face fits a voice, on landmark tracks with sound.",
        "examples: hmgen train syncer --features logmel --seed 1 | hmgen train syncer --loss triplet --ship "
        "metric_syncer. The same command goes on with a run that was stopped. Curves: tensorboard --logdir "
        "out/syncer",
    ),
    "train ms-sync": Command(
        Library("training.train_ms_sync", "MsSyncTrainConfig", "train"),
        "Train a system of the thesis' chapter 5 (MS-Sync), or ours, on landmark tracks with sound.",
        "examples: hmgen train ms-sync --system ms_sync_short --seed 1 | hmgen train ms-sync --system "
        "speech_driven --averaging 0.995 --ship speech_driven. The same command goes on with a run that was "
        "stopped. Curves: tensorboard --logdir out/ms_sync",
    ),
    "train motion-inception": Command(
        Library(
            "training.train_motion_inception",
            "MotionInceptionTrainConfig",
            "train",
        ),
        "Train the network behind fd_motion, which tells real from generated head motion.",
        "example: hmgen train motion-inception --data ../shared/data",
    ),
    "train inception": Command(
        Library("training.train_inception", "InceptionTrainConfig", "train"),
        "Train the network behind SFID, which tells real from generated action sequences.",
        "example: hmgen train inception --target 80",
    ),
    "evaluate social": Command(
        Library("evaluation.evaluate_social", "EvaluateSocialConfig", "evaluate_social"),
        "Score the action predictors on meetings that they were not trained on.",
        "examples: hmgen evaluate social --data ../shared/data --split test --json social.json | "
        "hmgen evaluate social --data my_rasters --models group_attention persistence --plots out/",
    ),
    "evaluate motion": Command(
        Library("evaluation.evaluate_motion", "EvaluateMotionConfig", "evaluate_motion"),
        "Score the head-motion generators on any folder of landmark tracks.",
        "examples: hmgen evaluate motion --data ../shared/data --json motion.json | "
        "hmgen evaluate motion --data my_tracks --models noise_driven hit_dvae",
    ),
    "evaluate sync": Command(
        Library("evaluation.evaluate_sync", "EvaluateSyncConfig", "evaluate_sync"),
        "Measure how well faces are in time with voices, at four time scales: speech-driven generators on a "
        "folder of tracks, or any landmarks and any sound.",
        "examples: hmgen evaluate sync --data ../shared/data --json sync.json | hmgen evaluate sync "
        "--landmarks track.npz --audio track.flac --json track.json | hmgen evaluate sync --landmarks "
        "wav2lip.npy --audio speech.wav",
    ),
    "evaluate perception": Command(
        Library(
            "evaluation.evaluate_perception",
            "EvaluatePerceptionConfig",
            "evaluate_perception",
        ),
        "Score who is followed, who is said to speak and what people are said to do, on recordings with "
        "known truth.",
        "examples: hmgen evaluate perception --scenes recordings --json perception.json | hmgen evaluate "
        "perception --scenes my_scenes --degrade low_light noise_10db --jobs 2. Truth files: see "
        "recordings/README.md",
    ),
    "evaluate bag": Command(
        Library("evaluation.evaluate_bag", "EvaluateBagConfig", "evaluate_bag"),
        "Replay recorded rosbags through perception and forecasters, and score the forecasts against what "
        "happened.",
        "examples: hmgen evaluate bag out/bag --json bag.json --html bag.html | hmgen evaluate bag talk.mcap "
        "--image-topic /head_camera/image_raw --audio-topic /mic --model semi_markov --compare bag.json | "
        "hmgen evaluate bag recordings/ --source people --jobs 4 --html bags.html",
    ),
    "evaluate landmarks": Command(
        Library(
            "evaluation.evaluate_landmarks",
            "EvaluateLandmarksConfig",
            "evaluate_landmarks",
        ),
        "Measure the face landmarks against hand labels: images with iBUG .pts files beside them.",
        "examples: hmgen evaluate landmarks --images faces --json landmarks.json | hmgen evaluate landmarks "
        "--images 300W --backend dlib --plots out/",
    ),
    "report perception": Command(
        Library("evaluation.perception_report", "PerceptionReportConfig", "write_report"),
        "Write docs/results/perception.md: compose scenes with known truth and score perception on them, "
        "clean and made worse.",
        "examples: hmgen report perception | hmgen report perception --seconds 20 --out quick.md. The same "
        "command goes on with a run that was stopped",
    ),
    "report social": Command(
        Library("evaluation.social_report", "ReportConfig", "write_report"),
        "Write docs/results/social.md, tables and figures, from logged runs and an evaluation.",
        "example: hmgen report social --runs docs/results/social_runs --evaluation social.json",
    ),
    "report suhmo": Command(
        Library("evaluation.motion_report", "MotionReportConfig", "write_report"),
        "Write docs/results/suhmo.md, tables, figures and a film, from runs scored on held-out tracks.",
        "example: hmgen report suhmo --runs docs/results/suhmo_runs --data ../shared/data",
    ),
    "report ms-sync": Command(
        Library("evaluation.speech_report", "SpeechReportConfig", "write_report"),
        "Write docs/results/ms_sync.md, tables and figures, from runs scored on held-out faces that speak.",
        "example: hmgen report ms-sync --runs docs/results/ms_sync_runs --data ../shared/data",
    ),
    "render motion": Command(
        Library("evaluation.motion_video", "RenderMotionConfig", "render"),
        "Film several futures of one pose beside what the head did.",
        "example: hmgen render motion --data ../shared/data --out futures.mp4 --samples 3",
    ),
    "animate": Command(
        Library("evaluation.animate", "AnimateConfig", "animate"),
        "Let the face of a picture speak: its landmarks move by a sound, in a film with that sound.",
        "examples: hmgen animate face.jpg speech.wav -o out.mp4 | hmgen animate face.jpg speech.mp3 -o "
        "out.mp4 --samples 3 --static | hmgen animate track.npz track.flac -o out.mp4 --landmarks out.npz "
        "--raster raster.mp4",
    ),
    "extract": Command(
        Library("data.extract", "ExtractConfig", "extract"),
        "Turn folders of video into landmark tracks with their sound.",
        "examples: hmgen extract --videos my_clips --out tracks | hmgen extract --videos VoxCeleb2/dev/mp4 "
        "--layout voxceleb2 --out vox --workers 16 --shard 1/4. The same command goes on where it stopped",
    ),
    "data ami": Command(
        Library("data.ami_conversion", "RasterConfig", "write_rasters"),
        "Turn the AMI corpus' own XML annotations into the 25 Hz rasters that training reads.",
        "example: hmgen data ami --xml ami_public_manual_1.7 --out data/ami_25hz",
    ),
    "models check": Command(
        Library("model_check", "ModelsCheckConfig", "models_check"),
        "List every model file: whether it is there and intact, its licence, and how to get what is missing.",
        "examples: hmgen models check | hmgen models check --all --json models.json. Exits with 1 where a "
        "model that the package needs is missing or damaged",
    ),
    "security-policy": Command(
        Library("nodes.security_policy", "PolicyOptions", "write_policy"),
        "Write the SROS2 policy: what each node may publish, subscribe to and serve.",
        "examples: hmgen security-policy --out policy.xml | hmgen security-policy --namespace robot1 --remap "
        "image_raw=/camera/image_raw audio=/mic",
    ),
    "devices": Command(
        None, "List the cameras and microphones of this machine; exits with 2 if there is none."
    ),
}
