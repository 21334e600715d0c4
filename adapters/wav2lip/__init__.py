"""Wav2Lip (Prajwal et al., ACM Multimedia 2020): redraws the face of every frame so that the lips follow a speech."""
