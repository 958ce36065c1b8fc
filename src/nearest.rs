//! The name that was probably meant.

/// The one of `names` most like `name`, if any is like it enough to be worth
/// proposing.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_name_and_nonsense_finds_none() {
        let names = ["hop", "top_k", "smooth", "abstain", "events"];
        assert_eq!(nearest("topk", names), Some("top_k"));
        assert_eq!(nearest("smoth", names), Some("smooth"));
        assert_eq!(nearest("event", names), Some("events"));
        assert_eq!(nearest("xyzzy", names), None);
    }
}
