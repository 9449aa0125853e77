"""Exports of mass spectrometry: opened, recognised, sifted, put together."""
