//! systemd, signals, health.
