//! Which characters an internationalised label may hold (RFC 5892). UTS #46 has already refused what is unassigned,
//! unstable or ignorable, and has judged joiners; it lets pass symbols and punctuation, which IDNA2008 does not.

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, Script};

/// The first character of a U-label that IDNA2008 forbids in its place.
pub(crate) fn forbidden(label: &str) -> Option<char> {
    let characters: Vec<char> = label.chars().collect();
    characters.iter().enumerate().find(|(at, _)| !is_allowed(&characters, *at)).map(|(_, character)| *character)
}

/// RFC 5892 §2 and §3, in the order of its algorithm.
fn is_allowed(label: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| label[before]);
    let after = label.get(at + 1).copied();
    match label[at] {
        'a'..='z' | '0'..='9' | '-' => true,
        // Joiners: their context was judged by UTS #46 (CheckJoiners), which has the same rule.
        '\u{200c}' | '\u{200d}' => true,
        // §2.6, valid by exception.
        '\u{00df}' | '\u{03c2}' | '\u{06fd}' | '\u{06fe}' | '\u{0f0b}' | '\u{3007}' => true,
        // §2.6, forbidden by exception.
        '\u{0640}' | '\u{07fa}' | '\u{302e}' | '\u{302f}' | '\u{3031}'..='\u{3035}' | '\u{303b}' => false,
        // §A.3 to §A.9, allowed by context.
        '\u{00b7}' => before == Some('l') && after == Some('l'),
        '\u{0375}' => after.is_some_and(|after| script(after) == Script::Greek),
        '\u{05f3}' | '\u{05f4}' => before.is_some_and(|before| script(before) == Script::Hebrew),
        '\u{30fb}' => label.iter().any(|other| {
            *other != '\u{30fb}' && [Script::Hiragana, Script::Katakana, Script::Han].contains(&script(*other))
        }),
        '\u{0660}'..='\u{0669}' => !label.iter().any(|other| ('\u{06f0}'..='\u{06f9}').contains(other)),
        '\u{06f0}'..='\u{06f9}' => !label.iter().any(|other| ('\u{0660}'..='\u{0669}').contains(other)),
        // §2.4, blocks of combining signs for symbols and music.
        '\u{20d0}'..='\u{20ff}' | '\u{1d100}'..='\u{1d1ff}' | '\u{1d200}'..='\u{1d24f}' => false,
        // §2.9, old Hangul Jamo.
        '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97c}' | '\u{d7b0}'..='\u{d7fb}' => false,
        other => is_letter_or_digit(other),
    }
}

/// RFC 5892 §2.1.
fn is_letter_or_digit(character: char) -> bool {
    [
        GeneralCategory::LowercaseLetter,
        GeneralCategory::UppercaseLetter,
        GeneralCategory::OtherLetter,
        GeneralCategory::DecimalNumber,
        GeneralCategory::ModifierLetter,
        GeneralCategory::NonspacingMark,
        GeneralCategory::SpacingMark,
    ]
    .contains(&CodePointMapData::<GeneralCategory>::new().get(character))
}

fn script(character: char) -> Script {
    CodePointMapData::<Script>::new().get(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_digits_and_marks_of_all_scripts_are_allowed() {
        for label in ["bücher", "straße", "παράδειγμα", "例え", "उदाहरण", "مثال", "बॉक्स", "ไทย", "3d-ö"]
        {
            assert_eq!(forbidden(label), None, "{label}");
        }
    }

    #[test]
    fn symbols_punctuation_and_old_jamo_are_forbidden() {
        for (label, character) in
            [("☃net", '☃'), ("i❤", '❤'), ("💩", '💩'), ("a´", '´'), ("가", 'ᄀ'), ("مـ", '\u{0640}')]
        {
            assert_eq!(forbidden(label), Some(character), "{label}");
        }
    }

    #[test]
    fn context_decides_where_the_rfc_says_so() {
        assert_eq!(forbidden("col·lecció"), None);
        assert_eq!(forbidden("a·b"), Some('·'));
        assert_eq!(forbidden("͵β"), None);
        assert_eq!(forbidden("͵b"), Some('\u{0375}'));
        assert_eq!(forbidden("א׳"), None);
        assert_eq!(forbidden("a׳"), Some('\u{05f3}'));
        assert_eq!(forbidden("カ・カ"), None);
        assert_eq!(forbidden("a・b"), Some('\u{30fb}'));
        assert_eq!(forbidden("ا٠"), None);
        assert_eq!(forbidden("ا٠۰"), Some('\u{0660}'));
    }
}
