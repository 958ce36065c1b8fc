//! Which of several labels a prediction is held to.

/// The one class that a single-label prediction of `predicted` is scored against:
/// where several hold at once, naming any of them is right; else the last begun
/// counts, which stands last. `None` where none holds.
pub fn answer(truths: &[usize], predicted: usize) -> Option<usize> {
    truths.iter().find(|&&truth| truth == predicted).or(truths.last()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_several_is_right_and_else_the_last_counts() {
        assert_eq!(
            (answer(&[2, 0], 2), answer(&[2, 0], 0), answer(&[2, 0], 1)),
            (Some(2), Some(0), Some(0))
        );
        assert_eq!(answer(&[], 1), None);
    }
}
