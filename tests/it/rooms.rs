//! The house has rooms, and walls between them.
//!
//! A *room* is a module with what belongs to one subject. Rooms stand on floors: one names only those that stand before
//! it in [`ROOMS`], and of these only the ones that its line lists. So no two rooms know each other, and each can be read
//! with nothing in mind but what is below it. Within a room the same holds for its files.
//!
//! What is looked at is paths, as the compiler reads them: in `use`, in code, and in the arguments of macros.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, File, Item, ItemMod, UseTree};

/// The rooms from the lowest floor up, and for each the rooms that it may name.
const ROOMS: &[(&str, &[&str])] = &[
    // What decides.
    ("pack", &[]),
    ("policy", &[]),
    ("machine", &["pack", "policy"]),
    ("law", &["machine", "pack", "policy"]),
    ("explore", &["law", "machine", "pack", "policy"]),
    ("driver", &["machine", "policy"]),
    ("pulse", &["driver"]),
    ("text", &[]),
    // The shell.
    ("shell::sync", &[]),
    ("shell::process", &[]),
    ("shell::step_record", &["driver", "machine", "policy"]),
    (
        "shell::log",
        &["shell::process", "shell::step_record", "shell::sync"],
    ),
    (
        "shell::failure",
        &["driver", "machine", "shell::log", "text"],
    ),
    ("shell::placement", &["shell::log"]),
    (
        "shell::probe",
        &[
            "policy",
            "shell::failure",
            "shell::log",
            "shell::placement",
            "shell::sync",
            "text",
        ],
    ),
    (
        "shell::inbound",
        &[
            "driver",
            "machine",
            "policy",
            "shell::failure",
            "shell::log",
            "shell::sync",
        ],
    ),
    (
        "shell::publish",
        &[
            "machine",
            "policy",
            "shell::failure",
            "shell::inbound",
            "shell::log",
            "shell::sync",
            "text",
        ],
    ),
    ("shell::resources", &["shell::inbound", "shell::sync"]),
    (
        "shell::run_state",
        &[
            "policy",
            "shell::failure",
            "shell::inbound",
            "shell::log",
            "shell::publish",
            "shell::resources",
        ],
    ),
    (
        "shell::component",
        &[
            "machine",
            "policy",
            "shell::failure",
            "shell::inbound",
            "shell::log",
            "shell::placement",
            "shell::run_state",
            "shell::sync",
        ],
    ),
    (
        "shell::supervise",
        &[
            "driver",
            "machine",
            "policy",
            "pulse",
            "shell::component",
            "shell::failure",
            "shell::inbound",
            "shell::log",
            "shell::probe",
            "shell::process",
            "shell::publish",
            "shell::run_state",
            "shell::step_record",
            "shell::sync",
        ],
    ),
    (
        "shell::service",
        &[
            "driver",
            "machine",
            "policy",
            "shell::component",
            "shell::failure",
            "shell::inbound",
            "shell::log",
            "shell::probe",
            "shell::process",
            "shell::publish",
            "shell::run_state",
            "shell::step_record",
            "shell::supervise",
            "shell::sync",
        ],
    ),
    // etcd.
    ("etcd::basics", &["text"]),
    (
        "etcd::host",
        &[
            "etcd::basics",
            "shell::log",
            "shell::placement",
            "shell::sync",
        ],
    ),
    (
        "etcd::client",
        &[
            "etcd::basics",
            "etcd::host",
            "policy",
            "shell::log",
            "shell::placement",
            "shell::sync",
        ],
    ),
    ("etcd::health", &["etcd::basics", "etcd::client", "policy"]),
    (
        "etcd::probe",
        &[
            "etcd::basics",
            "etcd::client",
            "etcd::health",
            "etcd::host",
            "policy",
            "shell::log",
            "shell::probe",
            "shell::sync",
        ],
    ),
    (
        "etcd::records",
        &["etcd::basics", "etcd::client", "etcd::host", "shell::log"],
    ),
    (
        "etcd::prefix_watch",
        &[
            "etcd::basics",
            "etcd::client",
            "etcd::host",
            "etcd::records",
            "policy",
            "shell::component",
            "shell::failure",
            "shell::log",
        ],
    ),
    (
        "etcd::membership",
        &[
            "etcd::basics",
            "etcd::client",
            "etcd::host",
            "etcd::records",
            "machine",
            "policy",
            "shell::component",
            "shell::failure",
            "shell::log",
            "shell::placement",
            "shell::sync",
        ],
    ),
    (
        "etcd::shards",
        &[
            "etcd::basics",
            "etcd::host",
            "etcd::membership",
            "etcd::records",
            "machine",
            "shell::component",
            "shell::failure",
            "shell::log",
            "shell::sync",
        ],
    ),
    // Other adapters.
    (
        "http",
        &["machine", "shell::publish", "shell::service", "shell::sync"],
    ),
    ("guide", &[]),
    (
        "test_util",
        &[
            "law",
            "machine",
            "policy",
            "shell::component",
            "shell::inbound",
            "shell::log",
            "shell::probe",
            "shell::run_state",
            "shell::service",
            "shell::step_record",
            "shell::sync",
        ],
    ),
];

/// Rooms without walls inside: their files may know each other.
const OPEN: &[&str] = &["machine", "law", "explore", "policy", "pack"];

/// One path that one file names.
struct Arrow {
    from: String,
    /// The module that is named, and what is named of it.
    to: String,
    item: String,
    at: String,
}

/// One test, because all sources are read for it.
#[test]
fn the_walls_stand() {
    let house = House::read();
    let wrong = [
        a_room_names_only_rooms_below_it(&house),
        each_source_is_in_a_room(&house),
        faces_only_declare_and_are_for_those_outside(&house),
        within_a_room_no_two_files_know_each_other(&house),
    ];
    let wrong = wrong.concat();
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn a_room_names_only_rooms_below_it(house: &House) -> String {
    let floor: BTreeMap<&str, usize> = ROOMS.iter().map(|(room, _)| *room).zip(0..).collect();
    let mut wrong = String::new();
    for (place, (room, may)) in ROOMS.iter().enumerate() {
        if !house.modules.contains_key(*room) {
            let _ = writeln!(wrong, "there is no room {room} any more");
        }
        for other in *may {
            if floor.get(other).is_none_or(|&other| other >= place) {
                let _ = writeln!(wrong, "{room} may name {other}, which is not below it");
            }
        }
    }
    let mut used = BTreeSet::new();
    for arrow in &house.arrows {
        let Some(from) = room_of(&arrow.from) else {
            continue;
        };
        let Some(to) = room_of(&arrow.to) else {
            // The face of a house, or of the crate, has what is of rooms on any floor.
            if house.is_face(&arrow.to) && !arrow.item.is_empty() {
                let Arrow { to, item, at, .. } = arrow;
                let _ = writeln!(wrong, "{at}: {from} takes `{item}` from the face `{to}`");
            }
            continue;
        };
        if from == to {
            continue;
        }
        used.insert((from, to));
        let may = ROOMS.iter().find(|(room, _)| *room == from);
        if !may.is_some_and(|(_, may)| may.contains(&to)) {
            let _ = writeln!(wrong, "{}: {from} may not name {to}", arrow.at);
        }
    }
    for (room, may) in ROOMS {
        for other in may.iter().filter(|other| !used.contains(&(*room, **other))) {
            let _ = writeln!(wrong, "{room} does not name {other} any more");
        }
    }
    wrong
}

/// What is not in the table is in nobody's way, and nobody's care.
fn each_source_is_in_a_room(house: &House) -> String {
    let strays: Vec<&String> = house
        .modules
        .keys()
        .filter(|module| room_of(module).is_none() && !house.is_face(module))
        .collect();
    match strays.is_empty() {
        true => String::new(),
        false => format!("in no room: {strays:?}\n"),
    }
}

/// The face of a room or a house declares modules and names what others may use of them. Whoever is inside goes to the
/// file that has what it needs, and not back out to the door.
fn faces_only_declare_and_are_for_those_outside(house: &House) -> String {
    let mut wrong = String::new();
    for (module, source) in &house.modules {
        if !house.is_face(module) || !has_walls(module) {
            continue;
        }
        for item in &source.file.items {
            if !matches!(item, Item::Use(_) | Item::Mod(_)) && !is_for_tests(attributes_of(item)) {
                let path = source.path.display();
                let _ = writeln!(wrong, "{path}: a face only declares");
                break;
            }
        }
    }
    for arrow in house.arrows.iter().filter(|arrow| has_walls(&arrow.from)) {
        let inside = arrow.from.starts_with(&format!("{}::", arrow.to)) || arrow.to.is_empty();
        if inside && arrow.from != arrow.to && !arrow.item.is_empty() {
            let Arrow { to, item, at, .. } = arrow;
            let _ = writeln!(
                wrong,
                "{at}: `{item}` is taken from the face `{to}`, which it is behind"
            );
        }
    }
    wrong
}

fn within_a_room_no_two_files_know_each_other(house: &House) -> String {
    let mut below: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Arrow { from, to, .. } in house.arrows.iter().filter(|arrow| has_walls(&arrow.from)) {
        if room_of(from) == room_of(to) && from != to && !house.is_face(to) {
            below.entry(from).or_default().insert(to);
        }
    }
    let mut wrong = String::new();
    for &file in below.keys() {
        let (mut seen, mut next) = (BTreeSet::new(), vec![file]);
        while let Some(module) = next.pop() {
            for &other in below.get(module).into_iter().flatten() {
                if other == file {
                    let _ = writeln!(wrong, "{file} knows itself by way of {module}");
                } else if seen.insert(other) {
                    next.push(other);
                }
            }
        }
    }
    wrong
}

/// Paths are found wherever they stand.
#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let code = "
        use crate::{etcd::Fault, shell::{log::{self, Log}, sync::*}};
        mod inner { use super::super::etcd as other; #[cfg(test)] mod tests { use crate::http; } }
        fn f() { super::etcd::g(); select! { () = crate::machine::h() => {} } }
        fn g(it: &dyn crate::law::Judge) -> super::etcd::Kind { self::f() }
        #[cfg(test)] fn h() { crate::http::i() }
    ";
    let file = syn::parse_file(code).expect("valid");
    let mut paths = Paths::of(&["shell".to_owned(), "x".to_owned()]);
    paths.visit_file(&file);
    let found: BTreeSet<String> = paths
        .found
        .iter()
        .map(|(path, _)| path.join("::"))
        .collect();
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(
        found,
        [
            "etcd::Fault",
            "law::Judge",
            "machine::h",
            "shell::etcd",
            "shell::etcd::Kind",
            "shell::etcd::g",
            "shell::log",
            "shell::log::Log",
            "shell::sync::*",
            "shell::x::f",
        ]
    );
}

/// Neither the face of a house nor that of the crate is a way round the table.
#[test]
fn a_face_is_no_way_round() {
    let mut house = House::read();
    for (room, code, line) in [
        (
            "shell::sync",
            "use crate::{etcd::Fault};",
            "shell::sync takes `Fault` from the face `etcd`",
        ),
        (
            "etcd::basics::hash",
            "fn f() { crate::shell::Handle::g() }",
            "from the face `shell`",
        ),
        (
            "http::live",
            "use crate::Handle;",
            "http takes `Handle` from the face ``",
        ),
        (
            "test_util::detached",
            "use crate::etcd::*;",
            "test_util takes `*` from the face `etcd`",
        ),
    ] {
        let source = house.modules.get_mut(room).expect("a source");
        source.file = syn::parse_file(code).expect("valid");
        house.arrows = house.arrows_of(room);
        let wrong = a_room_names_only_rooms_below_it(&house);
        assert!(wrong.contains(line), "{code}: {wrong}");
    }
}

/// All sources of the crate but for tests.
struct House {
    modules: BTreeMap<String, Source>,
    arrows: Vec<Arrow>,
}

struct Source {
    path: PathBuf,
    file: File,
}

impl House {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut modules, mut folders) = (BTreeMap::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder of sources") {
                let path = entry.expect("an entry").path();
                if path.file_stem().is_some_and(|stem| stem == "tests") {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).expect("a source");
                    let file = syn::parse_file(&text).expect("Rust");
                    let name = path.strip_prefix(&root).expect("within").with_extension("");
                    let name = name.display().to_string().replace('/', "::");
                    let name = if name == "lib" { String::new() } else { name };
                    modules.insert(name, Source { path, file });
                }
            }
        }
        assert!(modules.len() > 100, "found only {}", modules.len());
        let mut house = Self {
            modules,
            arrows: Vec::new(),
        };
        house.arrows = house
            .modules
            .keys()
            .flat_map(|it| house.arrows_of(it))
            .collect();
        house
    }

    fn arrows_of(&self, module: &str) -> Vec<Arrow> {
        let Source { path, file } = &self.modules[module];
        let names: Vec<String> = module
            .split("::")
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        let mut paths = Paths::of(&names);
        paths.visit_file(file);
        let arrow = |(named, line): (Vec<String>, usize)| {
            // The longest part of it that is a module.
            let is_module =
                |&length: &usize| self.modules.contains_key(&named[..length].join("::"));
            let length = (1..=named.len()).rev().find(is_module).unwrap_or_default();
            Arrow {
                from: module.to_owned(),
                to: named[..length].join("::"),
                item: named[length..].join("::"),
                at: format!("{}:{line}: `{}`", path.display(), named.join("::")),
            }
        };
        paths.found.into_iter().map(arrow).collect()
    }

    /// Whether a module has others below it.
    fn is_face(&self, module: &str) -> bool {
        let below = format!("{module}::");
        module.is_empty() || self.modules.keys().any(|other| other.starts_with(&below))
    }
}

/// The room that a module belongs to.
fn room_of(module: &str) -> Option<&'static str> {
    let rooms = ROOMS.iter().map(|(room, _)| *room);
    let mut found = rooms.filter(|room| {
        let rest = module.strip_prefix(room);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    });
    found.next()
}

/// Whether the files of a module's room keep to floors as well.
fn has_walls(module: &str) -> bool {
    let house = module.split("::").next().unwrap_or_default();
    !module.is_empty() && !OPEN.contains(&house)
}

/// The paths within the crate that are named in a source, from the root of the crate.
struct Paths {
    module: Vec<String>,
    found: Vec<(Vec<String>, usize)>,
}

impl Paths {
    fn of(module: &[String]) -> Self {
        Self {
            module: module.to_owned(),
            found: Vec::new(),
        }
    }

    /// A path that may begin with `crate`, `self` or `super`; others lead elsewhere, or to what such a path has brought.
    fn take(&mut self, path: &[String], line: usize) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let mut rest = rest;
        let mut base = match &**first {
            "crate" => Vec::new(),
            "self" => self.module.clone(),
            "super" => self.module[..self.module.len().saturating_sub(1)].to_owned(),
            _ => return,
        };
        while let Some((next, after)) = rest.split_first()
            && next == "super"
        {
            base.pop();
            rest = after;
        }
        base.extend(rest.iter().cloned());
        self.found.push((base, line));
    }

    fn take_use(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| {
            let names = before.iter().cloned();
            names.chain([name.to_string()]).collect::<Vec<_>>()
        };
        match tree {
            UseTree::Path(path) => self.take_use(&with(&path.ident), &path.tree),
            UseTree::Name(name) if name.ident == "self" => {
                self.take(before, name.ident.span().start().line);
            }
            UseTree::Name(name) => self.take(&with(&name.ident), name.ident.span().start().line),
            UseTree::Rename(name) => self.take(&with(&name.ident), name.ident.span().start().line),
            UseTree::Glob(glob) => {
                let all = before.iter().cloned().chain(["*".to_owned()]);
                let all: Vec<String> = all.collect();
                self.take(&all, glob.star_token.spans[0].start().line);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.take_use(before, tree);
                }
            }
        }
    }

    /// What is given to a macro is no syntax yet: paths in it are looked for by their begin.
    fn take_tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut line): (Vec<String>, usize) = (Vec::new(), 0);
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    let begins = ["crate", "self", "super"].iter().any(|it| name == it);
                    if colons == 2 && !path.is_empty() {
                        path.push(name.to_string());
                    } else {
                        self.take_end(&mut path, line);
                        if begins {
                            line = name.span().start().line;
                            path.push(name.to_string());
                        }
                    }
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.take_end(&mut path, line);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.take_tokens(group.stream());
                    }
                }
            }
        }
        self.take_end(&mut path, line);
    }

    fn take_end(&mut self, path: &mut Vec<String>, line: usize) {
        let path = std::mem::take(path);
        // `self` alone is a value.
        if path.len() > 1 {
            self.take(&path, line);
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes_of(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.take_use(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        if names.len() > 1
            && let Some(first) = path.segments.first()
        {
            self.take(&names, first.ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(in …)` names who may see it, and needs nothing of it.
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.take_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

/// Whether something is only there in tests.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    fn names(tokens: TokenStream) -> Vec<String> {
        let names = tokens.into_iter().flat_map(|token| match token {
            TokenTree::Ident(name) => vec![name.to_string()],
            TokenTree::Group(group) => names(group.stream()),
            _ => Vec::new(),
        });
        names.collect()
    }
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list();
        list.is_ok_and(|list| {
            let names = names(list.tokens.clone());
            let has = |wanted| names.iter().any(|name| name == wanted);
            list.path.is_ident("cfg") && has("test") && !has("not")
        })
    })
}
