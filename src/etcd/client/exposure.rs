//! Whether a password can be read on the way to etcd. Pure.

/// A warning if a user authenticates without TLS. `endpoints` are the URLs, and whether each uses TLS.
pub(crate) fn exposed_password<'a>(
    user: Option<&str>,
    endpoints: impl Iterator<Item = (&'a str, bool)>,
) -> Option<String> {
    let user = user?;
    let plain: Vec<&str> = endpoints
        .filter_map(|(url, tls)| (!tls).then_some(url))
        .collect();
    let (first, others) = plain.split_first()?;
    let others = match others.len() {
        0 => String::new(),
        more => format!(" and to {more} other endpoints"),
    };
    Some(format!(
        "the password of user {user:?}, and the tokens that etcd returns for it, are sent without \
         encryption to {first}{others}: everybody on the way can read them. Let etcd serve TLS, write \
         https:// and set EtcdConfig::with_tls"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_exposed_where_there_is_no_tls() {
        let (plain, safe) = (("http://a:2379", false), ("https://b:2379", true));
        let told = |user, endpoints: &[(&'static str, bool)]| {
            exposed_password(user, endpoints.iter().copied())
        };
        assert_eq!(told(None, &[plain, safe]), None);
        assert_eq!(told(Some("ann"), &[safe, safe]), None);
        let one = told(Some("ann"), &[safe, plain]).expect("exposed");
        assert!(
            one.starts_with("the password of user \"ann\"") && one.contains("to http://a:2379: "),
            "{one}"
        );
        let more = told(Some("ann"), &[plain, plain, plain]).expect("exposed");
        assert!(
            more.contains("to http://a:2379 and to 2 other endpoints: "),
            "{more}"
        );
    }
}
