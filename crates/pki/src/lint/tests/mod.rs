//! Every lint is made to fire by at least one certificate or CRL that is wrong in this alone, or in what its case
//! names besides; the good ones of every profile pass.

mod certificate_cases;
mod certificates;
mod crl_pieces;
mod crls;
mod editor;
mod ocsp;
mod world;

/// A bent certificate or CRL: the lint it is made for, the others that fire with it, and all that fired.
struct Case {
    lint: &'static str,
    also: &'static [&'static str],
    findings: fn() -> Vec<&'static str>,
}

const fn case(lint: &'static str, also: &'static [&'static str], findings: fn() -> Vec<&'static str>) -> Case {
    Case { lint, also, findings }
}

/// All cases whose findings are others than they should be, told together.
fn wrong_cases(cases: &[Case]) -> String {
    let mut told = String::new();
    for Case { lint, also, findings } in cases {
        let mut fired = findings();
        let mut expected: Vec<&str> = also.iter().copied().chain([*lint]).collect();
        fired.sort_unstable();
        expected.sort_unstable();
        if fired != expected {
            told += &format!("{lint}: expected {expected:?}, fired {fired:?}\n");
        }
    }
    told
}

/// The lints of a table that no case is made for.
fn without_case<'a>(lints: impl Iterator<Item = &'a str>, cases: &[Case]) -> Vec<&'a str> {
    lints.filter(|name| !cases.iter().any(|case| case.lint == *name)).collect()
}
