//! What was really there: annotation formats in, labels at a time out.
