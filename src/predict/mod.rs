//! Logits to predictions: softmax, smoothing, events.
