//! What a record belongs to. None of it is stored in the record; all of it is bound to the key.

use std::collections::BTreeSet;

use crate::header::Header;

/// Where a tenant's data lives: the three values every record and every ring of the tenant is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Name of the Region.
    pub region: String,
    /// UID of the installation, made at random at its first start.
    pub installation_uid: String,
    /// UID of the Tenant object: another one of the same name is another tenant.
    pub tenant_uid: String,
}

/// The object a record belongs to. Two contexts are the same only if every field is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionContext {
    /// Whose object it is, and where.
    pub scope: Scope,
    /// Namespace of the object.
    pub namespace: String,
    /// Kind of the object, such as `Connection`.
    pub kind: String,
    /// Name of the object, or of the file that belongs to it.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// Digest of where a credential may be sent; empty for anything else.
    pub endpoint_digest: String,
    /// Names of the fields inside the record.
    pub field_set: BTreeSet<String>,
}

impl EncryptionContext {
    /// The context bytes of the format: header, then every field with its length before it.
    pub(crate) fn bind(&self, header: &Header) -> Vec<u8> {
        let mut bytes = header.to_bytes().to_vec();
        self.object(&mut bytes);
        field(&mut bytes, self.endpoint_digest.as_bytes());
        let mut names = Vec::new();
        for name in &self.field_set {
            field(&mut names, name.as_bytes());
        }
        field(&mut bytes, &names);
        bytes
    }

    /// Fields 1 to 7: which object of which tenant, without what it holds or where it points.
    pub(crate) fn object(&self, bytes: &mut Vec<u8>) {
        let Scope { region, installation_uid, tenant_uid } = &self.scope;
        for value in [region, installation_uid, tenant_uid, &self.namespace, &self.kind, &self.name, &self.uid] {
            field(bytes, value.as_bytes());
        }
    }
}

/// A value with its length before it, so that no two lists of values share their bytes.
pub(crate) fn field(bytes: &mut Vec<u8>, value: &[u8]) {
    let length = u32::try_from(value.len()).expect("bound values are object names and secret fields, far below 4 GiB");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(value);
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    pub(crate) fn scope() -> Scope {
        Scope { region: "eu-frankfurt".into(), installation_uid: "11111111-aaaa".into(), tenant_uid: "22222222-bbbb".into() }
    }

    pub(crate) fn context() -> EncryptionContext {
        EncryptionContext {
            scope: scope(),
            namespace: "acme".into(),
            kind: "Connection".into(),
            name: "crm".into(),
            uid: "33333333-cccc".into(),
            endpoint_digest: "9f86d081884c7d65".into(),
            field_set: ["password", "username"].map(String::from).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Purpose;
    use crate::keys::Kid;

    #[test]
    fn the_bytes_are_those_of_the_format_page() {
        let header = Header { purpose: Purpose::File, kid: Kid::from_bytes([1; 16]), version: 1 };
        let mut context = samples::context();
        context.endpoint_digest = String::new();
        context.field_set = ["b", "aa"].map(String::from).into();
        let mut expected = header.to_bytes().to_vec();
        for part in ["eu-frankfurt", "11111111-aaaa", "22222222-bbbb", "acme", "Connection", "crm", "33333333-cccc", ""] {
            expected.extend([0, 0, 0, part.len() as u8]);
            expected.extend(part.as_bytes());
        }
        expected.extend([0, 0, 0, 11, 0, 0, 0, 2, b'a', b'a', 0, 0, 0, 1, b'b']);
        assert_eq!(context.bind(&header), expected);
    }

    #[test]
    fn a_letter_moved_from_one_field_to_the_next_gives_other_bytes() {
        let header = Header { purpose: Purpose::File, kid: Kid::from_bytes([1; 16]), version: 1 };
        let mut left = samples::context();
        left.namespace = "acme".into();
        left.kind = "X".into();
        let mut right = left.clone();
        right.namespace = "acm".into();
        right.kind = "eX".into();
        assert_ne!(left.bind(&header), right.bind(&header));
    }
}
