"""Rules of the bot, pure: what an alert means, what risk allows, what lots are worth, whether the books agree."""
