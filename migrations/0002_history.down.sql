DELETE FROM meta WHERE key = 'forgotten_to';
DROP TABLE history;
