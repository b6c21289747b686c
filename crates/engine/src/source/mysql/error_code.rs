//! The names of the errors that a query meets at MySQL and MariaDB, as `perror` and their documentation list them:
//! a person who looks a failed query up looks for these words.

use std::fmt;

/// An error's number with its name, if it is one that reading meets.
pub struct ErrorCode<'a>(pub &'a str);

impl fmt::Display for ErrorCode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.binary_search_by_key(&self.0, |(code, _)| code) {
            Ok(at) => write!(f, "{}, error {}", NAMES[at].1, self.0),
            Err(_) => write!(f, "error {}", self.0),
        }
    }
}

/// In the order of their numbers.
pub const NAMES: &[(&str, &str)] = &[
    ("1028", "ER_FILSORT_ABORT"),
    ("1030", "ER_GET_ERRNO"),
    ("1037", "ER_OUTOFMEMORY"),
    ("1038", "ER_OUT_OF_SORTMEMORY"),
    ("1040", "ER_CON_COUNT_ERROR"),
    ("1041", "ER_OUT_OF_RESOURCES"),
    ("1044", "ER_DBACCESS_DENIED_ERROR"),
    ("1045", "ER_ACCESS_DENIED_ERROR"),
    ("1046", "ER_NO_DB_ERROR"),
    ("1049", "ER_BAD_DB_ERROR"),
    ("1051", "ER_BAD_TABLE_ERROR"),
    ("1052", "ER_NON_UNIQ_ERROR"),
    ("1053", "ER_SERVER_SHUTDOWN"),
    ("1054", "ER_BAD_FIELD_ERROR"),
    ("1055", "ER_WRONG_FIELD_WITH_GROUP"),
    ("1060", "ER_DUP_FIELDNAME"),
    ("1064", "ER_PARSE_ERROR"),
    ("1065", "ER_EMPTY_QUERY"),
    ("1066", "ER_NONUNIQ_TABLE"),
    ("1104", "ER_TOO_BIG_SELECT"),
    ("1111", "ER_INVALID_GROUP_FUNC_USE"),
    ("1114", "ER_RECORD_FILE_FULL"),
    ("1140", "ER_MIX_OF_GROUP_FUNC_AND_FIELDS"),
    ("1142", "ER_TABLEACCESS_DENIED_ERROR"),
    ("1143", "ER_COLUMNACCESS_DENIED_ERROR"),
    ("1146", "ER_NO_SUCH_TABLE"),
    ("1153", "ER_NET_PACKET_TOO_LARGE"),
    ("1159", "ER_NET_READ_INTERRUPTED"),
    ("1161", "ER_NET_WRITE_INTERRUPTED"),
    ("1203", "ER_TOO_MANY_USER_CONNECTIONS"),
    ("1205", "ER_LOCK_WAIT_TIMEOUT"),
    ("1213", "ER_LOCK_DEADLOCK"),
    ("1222", "ER_WRONG_NUMBER_OF_COLUMNS_IN_SELECT"),
    ("1226", "ER_USER_LIMIT_REACHED"),
    ("1227", "ER_SPECIFIC_ACCESS_DENIED_ERROR"),
    ("1241", "ER_OPERAND_COLUMNS"),
    ("1242", "ER_SUBQUERY_NO_1_ROW"),
    ("1267", "ER_CANT_AGGREGATE_2COLLATIONS"),
    ("1305", "ER_SP_DOES_NOT_EXIST"),
    ("1317", "ER_QUERY_INTERRUPTED"),
    ("1370", "ER_PROCACCESS_DENIED_ERROR"),
    ("1690", "ER_DATA_OUT_OF_RANGE"),
    ("1792", "ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION"),
    ("1927", "ER_CONNECTION_KILLED"),
    ("1969", "ER_STATEMENT_TIMEOUT"),
    ("3024", "ER_QUERY_TIMEOUT"),
];
