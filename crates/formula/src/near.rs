//! The name a person probably meant.

/// Longer names are not compared: the work grows with the square.
const LONGEST: usize = 80;

/// The candidate nearest to `name`, if it is near enough to be a slip: differing only in case and blanks, or by a few letters.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    slips(name, candidates).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// The nearest candidates, at most so many, the nearest first.
pub fn nearest_few<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let mut near: Vec<_> = slips(name, candidates).collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.into_iter().map(|(_, candidate)| candidate).take(most).collect()
}

/// Candidates near enough to be meant, with how far they are away.
fn slips<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = (usize, &'a str)> {
    let wanted = fold(name);
    let comparable = !wanted.is_empty() && wanted.len() <= LONGEST;
    let allowed = 1 + wanted.len() / 4;
    candidates.into_iter().filter(move |_| comparable).filter_map(move |candidate| {
        let folded = fold(candidate);
        // Each letter that one has more is a difference.
        if folded.is_empty() || folded.len() > LONGEST || folded.len().abs_diff(wanted.len()) > allowed {
            return None;
        }
        Some((distance(&wanted, &folded), candidate)).filter(|(distance, _)| *distance <= allowed)
    })
}

fn fold(name: &str) -> Vec<char> {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one into the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let columns = ["First Name", "Email", "Phone", "Billing City", ""];
        for (typed, meant) in [
            ("first_name", Some("First Name")),
            ("Emial", Some("Email")),
            ("Fone", Some("Phone")),
            ("Phones", Some("Phone")),
            ("BillingCty", Some("Billing City")),
            ("Status", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, columns), meant, "{typed}");
        }
        assert_eq!(nearest_few("Gild", ["Silver", "Guild", "Gold", "Gilded"], 2), ["Guild", "Gold"]);
    }
}
