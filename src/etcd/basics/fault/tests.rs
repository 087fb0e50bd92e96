//! The documented table against the code: operators read the one, and decide by the other.

use super::*;

#[test]
fn the_documented_table_is_what_the_code_does() {
    let rows = include_str!("../fault.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("/// | `"));
    let rows: Vec<Vec<&str>> = rows
        .map(|row| row.trim_end_matches(" |").split(" | ").collect())
        .collect();
    let classes: Vec<&str> = rows
        .iter()
        .map(|row| row[0].trim_end_matches('`'))
        .collect();
    assert_eq!(classes, Fault::ALL.map(Fault::as_str));
    for (row, fault) in rows.iter().zip(Fault::ALL) {
        let [_, seen_as, verdict, to_do] = row[..] else {
            panic!("{row:?} has other columns");
        };
        let default = format!("{:?}", fault.default_verdict()).to_lowercase();
        assert_eq!(verdict, default, "{fault:?}");
        assert!(!seen_as.is_empty() && !to_do.is_empty(), "{row:?}");
    }
}

/// Each class is in the list of all: a new one that is left out would be in no table.
#[test]
fn all_classes_are_in_the_list() {
    let source = include_str!("../fault.rs");
    let (_, variants) = source.split_once("pub enum Fault {").expect("the classes");
    let (variants, _) = variants.split_once("\n}").expect("their end");
    let names = variants.lines().map(str::trim);
    let names = names.filter(|line| !line.is_empty() && !line.starts_with("//"));
    let names: Vec<&str> = names.map(|line| line.trim_end_matches(',')).collect();
    assert_eq!(names, Fault::ALL.map(|fault| format!("{fault:?}")));
}

#[test]
fn no_two_classes_are_told_alike() {
    for (index, one) in Fault::ALL.into_iter().enumerate() {
        for other in Fault::ALL.into_iter().skip(index + 1) {
            assert_ne!(one.as_str(), other.as_str());
            assert_ne!(one.to_string(), other.to_string());
            assert_ne!(one.advice(), other.advice());
            assert_ne!(one.gravity(), other.gravity(), "{one:?}, {other:?}");
        }
    }
}

/// What a server said is graver than silence.
#[test]
fn no_class_is_milder_than_silence() {
    let mildest = Fault::ALL.into_iter().min_by_key(|fault| fault.gravity());
    assert_eq!(mildest, Some(Fault::Unreachable));
}

/// Each fact is true of these classes and of no other.
#[test]
fn what_follows_from_a_class_is_known() {
    let those = |fact: fn(Fault) -> bool| -> Vec<&str> {
        let those = Fault::ALL.into_iter().filter(|&fault| fact(fault));
        those.map(Fault::as_str).collect()
    };
    assert_eq!(those(Fault::of_cluster), ["no_space", "corrupt"]);
    assert_eq!(
        those(Fault::of_every_member),
        ["no_space", "corrupt", "permission"]
    );
    assert_eq!(those(Fault::passes), ["unreachable", "unauthenticated"]);
    assert_eq!(
        those(Fault::ends_connection),
        ["unreachable", "unauthenticated", "tls", "misdirected"]
    );
}
