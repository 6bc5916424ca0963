DROP TABLE meta;
DROP TABLE epochs;
DROP TABLE tombstones;
DROP TABLE records;
