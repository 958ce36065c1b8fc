//! One stream end to end: the only place that joins the rooms.
