-- Who placed an order is not told that it was analysed when a report of it is withdrawn: the withdrawal itself is sent.
DROP TRIGGER note_analysed ON reports;
CREATE TRIGGER note_analysed AFTER INSERT ON reports FOR EACH ROW WHEN (NEW.author_kind = 'device' AND NEW.status NOT IN ('entered-in-error', 'cancelled'))
  EXECUTE FUNCTION medscan_note_order_of_report();
