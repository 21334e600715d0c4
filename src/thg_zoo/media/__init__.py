"""Pictures, sound and video in and out, in bounded memory, through the bundled ffmpeg and Pillow.

Import from the modules: `image` (read_image, write_image), `audio` (Audio, read_audio, audio_blocks), `video`
(VideoReader), `writer` (VideoWriter), `outputs` (check_output), `probe` (probe, MediaInfo), `limits` (Limits).
"""
