//! The plan, written down, against its definition, and for all small cases.

use proptest::prelude::*;

use super::*;

/// Of shards with these numbers: 0, 1, and so on.
fn plan(work: &str, members: &[&str], holders: &[Option<usize>]) -> Vec<Option<usize>> {
    let shards: Vec<u64> = (0..).take(holders.len()).collect();
    super::plan(work, members, &shards, holders)
}

/// Who holds what: a letter for the member at that place, a dot for nobody.
fn planned(members: &[&str], holders: &str) -> String {
    let holders: Vec<Option<usize>> = holders.bytes().map(place_of).collect();
    drawn(&plan("work", members, &holders))
}

fn place_of(letter: u8) -> Option<usize> {
    letter.checked_sub(b'a').map(usize::from)
}

fn drawn(plan: &[Option<usize>]) -> String {
    let letter = |place: usize| char::from(b'a' + place as u8);
    plan.iter().map(|place| place.map_or('.', letter)).collect()
}

#[test]
fn what_is_held_stays_where_it_is_and_the_rest_is_shared_out() {
    for (before, after) in [
        // Nobody holds anything yet.
        ("............", "baababcabccc"),
        // It is even already.
        ("abcabcabcabc", "abcabcabcabc"),
        // Somebody went, and the others fill up.
        ("ab.ab.ab.ab.", "abcabcabcabc"),
        // Somebody came: two of each go there.
        ("aabbaabbaabb", "aacbccbbaabc"),
        // Ten are not even among three: who has four already keeps them.
        ("aaabbbcccc", "aaabbbcccc"),
        ("aaaabbbc..", "aaaabbbccc"),
        // Too few for all.
        ("..", "ca"),
        ("b.", "bc"),
        ("bb", "bc"),
        ("", ""),
    ] {
        assert_eq!(planned(&["a", "b", "c"], before), after, "{before:?}");
    }
}

#[test]
fn without_members_nobody_runs_anything() {
    assert_eq!(planned(&[], "..."), "...");
    assert_eq!(planned(&[], "a.b"), "...");
    assert_eq!(planned(&["a"], "..."), "aaa");
}

#[test]
fn who_does_not_take_part_holds_nothing() {
    assert_eq!(planned(&["a", "b"], "czz."), planned(&["a", "b"], "...."));
    let far = [Some(usize::MAX), Some(2), Some(1)];
    assert_eq!(
        plan("work", &["a", "b"], &far),
        plan("work", &["a", "b"], &[None, None, Some(1)])
    );
}

/// Nodes of different versions must agree. These are the published outputs of FNV-1a, and of SplitMix64
/// with the seed 0; the rest pins how they are put together.
#[test]
fn the_plan_is_the_same_everywhere_and_for_ever() {
    for (number, output) in [
        (1, 0xe220_a839_7b1d_cdaf),
        (2, 0x6e78_9e6a_a1b9_65f4),
        (3, 0x06c4_5d18_8009_454f),
    ] {
        assert_eq!(score(0, number), output);
        assert_eq!(shard_score(0, number - 1), output);
    }
    // FNV-1a of no text but the byte between, and of one with letters on both sides.
    assert_eq!(seed("", ""), mix(0xaf64_724c_8602_eb6e));
    assert_eq!(seed("checks", "node-1"), 0x04a3_5336_dbba_e887);
    assert_ne!(seed("checks", "node-1"), seed("checksn", "ode-1"));

    let members = ["node-1", "node-2", "node-3", "node-4", "node-5"];
    for (before, after) in [
        (
            ".".repeat(64),
            "eddbbadbbeadecdabceecccceaeeebebabcbaaadbcbdadeadeecdbdccdbdcaaa",
        ),
        (
            "a".repeat(64),
            "eddbbadbbeadecdabceecccaeaeeeaabebcbdaadacbdadeadaecebdccdbdbccb",
        ),
        (
            "aaab..ee".repeat(8),
            "cdabbceeaaabdceebadbccecaabbbbeeaacbddedacdbddeedaabdddecacbccee",
        ),
    ] {
        assert_eq!(planned(&members, &before), after);
    }
}

#[test]
fn no_name_is_preferred_in_all_works() {
    let members = ["node-1", "node-2", "node-3"];
    let mut first = [0; 3];
    let mut kept = [0; 3];
    for work in 0..3_000 {
        let work = format!("work-{work}");
        let one = plan(&work, &members, &[None]);
        first[one[0].unwrap()] += 1;
        let held = [Some(0), Some(0), Some(1), Some(1), Some(2), Some(2), None];
        let after = plan(&work, &members, &held);
        kept[after[6].unwrap()] += 1;
    }
    for count in first.into_iter().chain(kept) {
        // Five standard deviations.
        assert!((870..=1_130).contains(&count), "{first:?} {kept:?}");
    }
}

/// Each of several similar names suits as many shards best, and whom a shard suits best tells nothing
/// of whom the next one suits.
#[test]
fn similar_names_and_neighbouring_shards_have_unrelated_scores() {
    const MEMBERS: usize = 8;
    let seeds: Vec<u64> = (0..MEMBERS)
        .map(|member| seed("work", &format!("node-{member}")))
        .collect();
    let best = |shard| (0..MEMBERS).max_by_key(|&place| shard_score(seeds[place], shard as u64));
    let mut alone = [0; MEMBERS];
    let mut pairs = [[0; MEMBERS]; MEMBERS];
    for shard in 0..64_000 {
        let (this, next) = (best(shard).unwrap(), best(shard + 1).unwrap());
        alone[this] += 1;
        pairs[this][next] += 1;
    }
    // About five standard deviations.
    assert!(
        alone.iter().all(|count| (7_580..=8_420).contains(count)),
        "{alone:?}"
    );
    let mut pairs = pairs.as_flattened().iter();
    assert!(pairs.all(|count| (840..=1_160).contains(count)));
}

#[test]
fn what_a_member_leaves_is_shared_by_all_others() {
    let members: Vec<String> = (0..10).map(|member| format!("node-{member}")).collect();
    let ids: Vec<&str> = members.iter().map(String::as_str).collect();
    let before = plan("work", &ids, &[None; 1_000]);
    let (_, stay) = ids.split_first().unwrap();
    // Their places go down by one.
    let left: Vec<Option<usize>> = before.iter().map(|at| at.unwrap().checked_sub(1)).collect();
    let after = plan("work", stay, &left);
    let mut gets = [0; 9];
    for (before, after) in left.iter().zip(&after) {
        if before.is_none() {
            gets[after.unwrap()] += 1;
        }
    }
    assert!(gets.iter().all(|gets| [11, 12].contains(gets)), "{gets:?}");
}

/// All small cases, and for each of them all that can happen next. What happens leads to another of
/// these cases, so this covers every order in which a plan can be carried out.
#[test]
fn all_small_cases_are_lawful() {
    let mut cases = 0;
    for members in 0..=4 {
        for shards in 0..=5 {
            let case_count = (members + 1_usize).pow(shards);
            for number in 0..case_count {
                let digit = |shard| number / (members + 1_usize).pow(shard) % (members + 1);
                let holders: Vec<Option<usize>> = (0..shards)
                    .map(|shard| digit(shard).checked_sub(1))
                    .collect();
                for work in ["one", "two", "three"] {
                    let case = Case::new(work, members, &holders);
                    case.check();
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 3 * (6 + 63 + 364 + 1_365 + 3_906));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_is_lawful(case in case()) {
        case.check();
    }

    /// The order of the members says only which place means whom.
    #[test]
    fn the_order_of_the_members_changes_nothing(case in case(), by in 0_usize..12) {
        let ids = case.ids();
        let turn = |place: usize| (place + by) % ids.len();
        let mut turned = ids.clone();
        for (place, id) in ids.iter().enumerate() {
            turned[turn(place)] = id;
        }
        let holders: Vec<Option<usize>> =
            case.holders.iter().map(|holder| holder.map(turn)).collect();
        let expected: Vec<Option<usize>> =
            case.plan().iter().map(|place| place.map(turn)).collect();
        prop_assert_eq!(plan(&case.work, &turned, &holders), expected);
    }

    #[test]
    fn when_a_member_goes_only_its_shards_move(case in case(), gone in any::<prop::sample::Index>()) {
        let ids = case.ids();
        let gone = gone.index(ids.len());
        let stay: Vec<&str> = ids.iter().copied().filter(|&id| id != ids[gone]).collect();
        let before = case.plan();
        let place = |place: usize| match place {
            _ if place == gone => None,
            _ => Some(place - usize::from(place > gone)),
        };
        let left: Vec<Option<usize>> = before.iter().map(|at| at.and_then(place)).collect();
        let after = plan(&case.work, &stay, &left);
        for (held, planned) in left.iter().zip(&after) {
            prop_assert!(held.is_none() || held == planned, "{} {}", drawn(&left), drawn(&after));
        }
    }

    #[test]
    fn when_a_member_comes_it_gets_its_share_and_nothing_else_moves(case in case()) {
        let before = case.plan();
        let mut ids = case.ids();
        let newcomer = ids.len();
        ids.push("newcomer");
        let after = plan(&case.work, &ids, &before);
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        let to: Vec<Option<usize>> = moved.map(|(_, after)| *after).collect();
        prop_assert_eq!(to, vec![Some(newcomer); before.len() / ids.len()]);
    }
}

/// Members and who holds what now.
#[derive(Clone, Debug)]
struct Case {
    work: String,
    members: Vec<String>,
    holders: Vec<Option<usize>>,
}

/// Cases from even to all with one member, with at least one member.
fn case() -> impl Strategy<Value = Case> {
    (1_usize..=9, 0_u64..1_000).prop_flat_map(|(members, work)| {
        let any_of = 0..=members;
        let even = any_of.clone();
        let leaning = (any_of.clone(), any_of).prop_map(|(one, other)| one.max(other));
        let holder = prop_oneof![3 => even, 3 => leaning, 1 => Just(1)];
        prop::collection::vec(holder, 0..=48).prop_map(move |holders| {
            let holders: Vec<_> = holders.iter().map(|at| at.checked_sub(1)).collect();
            Case::new(&format!("work-{work}"), members, &holders)
        })
    })
}

impl Case {
    fn new(work: &str, members: usize, holders: &[Option<usize>]) -> Self {
        Self {
            work: work.to_owned(),
            members: (0..members).map(|at| format!("node-{at}")).collect(),
            holders: holders.to_vec(),
        }
    }

    fn ids(&self) -> Vec<&str> {
        self.members.iter().map(String::as_str).collect()
    }

    fn plan(&self) -> Vec<Option<usize>> {
        plan(&self.work, &self.ids(), &self.holders)
    }

    /// All that is demanded of a plan.
    fn check(&self) {
        let plan = self.plan();
        assert_eq!(plan.len(), self.holders.len());
        if self.members.is_empty() {
            assert!(plan.iter().all(Option::is_none));
            return;
        }
        assert!(plan.iter().all(Option::is_some), "{self:?}");
        self.check_balance(&plan);
        self.check_moves(&plan);
        self.check_choice(&plan);
        self.check_steps(&plan);
    }

    fn check_balance(&self, plan: &[Option<usize>]) {
        let (base, extra) = self.share();
        for count in self.counts(plan) {
            let most = base + usize::from(extra > 0);
            assert!((base..=most).contains(&count), "{self:?}: {}", drawn(plan));
        }
    }

    /// No even plan moves less: tried with all choices of who is to run one more.
    fn check_moves(&self, plan: &[Option<usize>]) {
        let (base, extra) = self.share();
        let held = self.counts(&self.holders);
        let choices =
            (0..1_u32 << held.len()).filter(|choice| choice.count_ones() as usize == extra);
        let moves = choices.map(|choice| {
            let quota = |place| base + (choice >> place & 1) as usize;
            let above = held.iter().enumerate();
            above
                .map(|(place, held)| held.saturating_sub(quota(place)))
                .sum::<usize>()
        });
        let pairs = self.holders.iter().zip(plan);
        let moved = pairs.filter(|(holder, planned)| holder.is_some() && holder != planned);
        assert_eq!(
            Some(moved.count()),
            moves.min(),
            "{self:?}: {}",
            drawn(plan)
        );
    }

    /// What moves, and where to.
    fn check_choice(&self, plan: &[Option<usize>]) {
        let seeds: Vec<u64> = self.ids().iter().map(|id| seed(&self.work, id)).collect();
        let counts = self.counts(plan);
        let mut has = vec![0; counts.len()];
        for (place, has) in has.iter_mut().enumerate() {
            let (mut kept, mut lost) = (Vec::new(), Vec::new());
            for (shard, planned) in plan.iter().enumerate() {
                if self.holders[shard] == Some(place) {
                    let stays = *planned == Some(place);
                    let list = if stays { &mut kept } else { &mut lost };
                    list.push(shard_score(seeds[place], shard as u64));
                }
            }
            // Whoever gives something up gets nothing, and keeps what suits it best.
            if let Some(best) = lost.iter().max() {
                assert!(kept.iter().all(|kept| kept > best), "{self:?}");
                assert_eq!(kept.len(), counts[place], "{self:?}");
            }
            *has = kept.len();
        }
        for (shard, planned) in plan.iter().enumerate() {
            let to = planned.unwrap();
            if self.holders[shard] == Some(to) {
                continue;
            }
            // Whom it suits better has no room left by then.
            for (place, &seed) in seeds.iter().enumerate() {
                let better = shard_score(seed, shard as u64) > shard_score(seeds[to], shard as u64);
                assert!(!better || has[place] == counts[place], "{self:?}");
            }
            has[to] += 1;
        }
    }

    /// Whichever release or claim comes next, the plan stays. And so, one after the other, it does in
    /// whatever order they come; at the end it is carried out, and is the plan still.
    fn check_steps(&self, plan: &[Option<usize>]) {
        let mut next = self.clone();
        for (shard, &planned) in plan.iter().enumerate() {
            let holder = self.holders[shard];
            if holder == planned {
                continue;
            }
            next.holders[shard] = match holder {
                Some(_) => None,
                None => planned,
            };
            let after = next.plan();
            assert_eq!(drawn(&after), drawn(plan), "{self:?}: {shard}");
            next.holders[shard] = holder;
        }
        next.holders = plan.to_vec();
        assert_eq!(drawn(&next.plan()), drawn(plan), "{self:?}: at the end");
    }

    /// What each member runs at least, and how many run one more.
    fn share(&self) -> (usize, usize) {
        let (shards, members) = (self.holders.len(), self.members.len());
        (shards / members, shards % members)
    }

    fn counts(&self, holders: &[Option<usize>]) -> Vec<usize> {
        let mut counts = vec![0; self.members.len()];
        for &place in holders.iter().flatten() {
            counts[place] += 1;
        }
        counts
    }
}
