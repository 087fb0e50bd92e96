//! The log as JSON: no field hides another one.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::{Context, Failure};
use serde_json::Value;
use serde_json::de::Deserializer;
use tracing_subscriber::fmt::MakeWriter;

use super::support::{policy, start};

/// What was written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// All pairs of an object, in order: a map would keep only the last one of a name.
fn pairs(line: &str) -> Vec<(String, Value)> {
    struct Pairs;

    impl<'de> serde::de::Visitor<'de> for Pairs {
        type Value = Vec<(String, Value)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }

    let mut from = Deserializer::from_str(line);
    serde::Deserializer::deserialize_map(&mut from, Pairs).expect("a line is an object")
}

#[tokio::test(start_paused = true)]
async fn no_name_occurs_twice_in_a_line_and_each_line_of_a_component_names_it() {
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(written.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let second = Duration::from_secs(1);
    let policy = policy().stop_deadline(second).abort_deadline(second);
    let running = start(&[2], policy.build().unwrap(), |builder, _| {
        builder
            .task("api", |ctx: Context| async move {
                tracing::info!("it listens");
                ctx.mark_ready();
                if ctx.epoch() == 2 {
                    ctx.sleep(Duration::from_secs(1)).await;
                    return Err(Failure::new("port 80 is taken"));
                }
                ctx.stopping().await;
                Ok(())
            })
            .task("slow", |ctx: Context| async move {
                if ctx.epoch() == 1 {
                    ctx.report(Failure::new("a report").dependency());
                }
                ctx.mark_ready();
                std::future::pending().await
            })
    });
    running.until_ready(3).await;
    running.dependency.fail("no leader");
    running.until_phase(Phase::Monitoring).await;
    running.dependency.recover();
    running.until_ready(4).await;
    drop(running);
    drop(guard);
    let written = written.0.lock().unwrap().clone();
    let written = String::from_utf8(written).unwrap();
    let mut transitions = 0;
    for line in written.lines() {
        let pairs = pairs(line);
        let mut names: Vec<_> = pairs.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), pairs.len(), "a name occurs twice: {line}");
        let field = |wanted: &str| {
            let mut of = pairs.iter().filter(|(name, _)| name == wanted);
            of.next().map(|(_, value)| value.clone())
        };
        if field("target") == Some("overwatch::transition".into()) {
            transitions += 1;
            assert!(
                field("level").is_some_and(|level| level.is_string()),
                "{line}"
            );
        }
        if field("message") == Some("it listens".into()) {
            assert_eq!(field("span").unwrap()["component"], "api");
        }
    }
    assert!(transitions >= 8, "{written}");
    assert!(written.contains("it listens") && written.contains("overwatch::stop"));
}
