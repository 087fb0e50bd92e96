//! What the example is asked to do.

use std::time::Duration;

pub(crate) const USAGE: &str = "\
usage: outage                                    plays a script: an embedded dependency fails,
                                                 hangs and flaps; ends within 30 s
       outage --flapping                         the dependency relapses: each time it must prove
                                                 itself for longer, and the service says why
       outage --etcd URL... [--window SECONDS]   runs the same service against etcd, until ctrl-c

  --etcd URL[,URL...]   where etcd is; may be repeated
  --window SECONDS      how long etcd must prove itself after an outage (default 30)";

#[derive(Debug, PartialEq)]
pub(crate) enum Arguments {
    Help,
    Script,
    Flapping,
    Etcd {
        urls: Vec<String>,
        window: Option<Duration>,
    },
}

impl Arguments {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments.peekable();
        let (mut urls, mut window, mut flapping) = (Vec::new(), None, false);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "-h" | "--help" => return Ok(Self::Help),
                "--etcd" => {
                    let before = urls.len();
                    while let Some(value) = arguments.next_if(|next| !next.starts_with('-')) {
                        urls.extend(value.split(',').map(str::to_owned));
                    }
                    if urls.len() == before {
                        return Err("--etcd needs a URL, such as http://127.0.0.1:2379".into());
                    }
                }
                "--flapping" => flapping = true,
                "--window" => {
                    let value = arguments.next().ok_or("--window needs seconds")?;
                    window = Some(seconds(&value)?);
                }
                other => return Err(format!("unknown argument {other:?}")),
            }
        }
        match (urls.is_empty(), window, flapping) {
            (false, window, false) => Ok(Self::Etcd { urls, window }),
            (true, None, false) => Ok(Self::Script),
            (true, None, true) => Ok(Self::Flapping),
            (_, _, true) => Err("--flapping stands alone".into()),
            (true, Some(_), false) => Err("--window goes with --etcd only".into()),
        }
    }
}

fn seconds(value: &str) -> Result<Duration, String> {
    let seconds = value.parse().ok().map(Duration::try_from_secs_f64);
    match seconds {
        Some(Ok(seconds)) => Ok(seconds),
        _ => Err(format!("--window {value:?} is no number of seconds")),
    }
}
