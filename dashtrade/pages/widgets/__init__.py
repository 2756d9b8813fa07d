"""The widget kit of the pages: charts, tables, forms, messages. Text from users is escaped here, in one place."""
