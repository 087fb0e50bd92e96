//! Whether a password can be read on the way to etcd. Pure.

/// A password that is sent without encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExposedPassword {
    pub(crate) user: String,
    /// The first endpoint that it is sent to.
    pub(crate) endpoint: String,
    /// How many others there are.
    pub(crate) other_endpoints: usize,
}

/// What to warn of if a user authenticates without TLS. `endpoints` are the URLs, and whether each uses TLS.
pub(crate) fn exposed_password<'a>(
    user: Option<&str>,
    endpoints: impl Iterator<Item = (&'a str, bool)>,
) -> Option<ExposedPassword> {
    let user = user?;
    let plain: Vec<&str> = endpoints
        .filter_map(|(url, tls)| (!tls).then_some(url))
        .collect();
    let (first, others) = plain.split_first()?;
    Some(ExposedPassword {
        user: user.to_owned(),
        endpoint: (*first).to_owned(),
        other_endpoints: others.len(),
    })
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
        let exposed = |other_endpoints| {
            Some(ExposedPassword {
                user: "ann".to_owned(),
                endpoint: "http://a:2379".to_owned(),
                other_endpoints,
            })
        };
        assert_eq!(told(Some("ann"), &[safe, plain]), exposed(0));
        assert_eq!(told(Some("ann"), &[plain, plain, plain]), exposed(2));
    }
}
